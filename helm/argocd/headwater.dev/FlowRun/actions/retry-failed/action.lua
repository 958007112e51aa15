-- What `headwater restart` makes: a run of the same version with the same parameters, in which what has succeeded does
-- not run again. It needs the results to be stored; the new run says so where they are not.
local os = require("os")
local moment = os.date("!%Y%m%d-%H%M%S")
local name = obj.metadata.name .. "-r" .. moment
if #name > 52 then name = "retry-" .. moment end
local spec = {
  flow = obj.spec.flow,
  title = obj.spec.title,
  scheduledTime = obj.spec.scheduledTime,
  version = obj.spec.version,
  resumeFrom = {run = obj.metadata.name},
}
if (obj.status or {}).version ~= nil then spec.version = obj.status.version.number end
-- An empty table would become a list.
if obj.spec.parameters ~= nil and next(obj.spec.parameters) ~= nil then spec.parameters = obj.spec.parameters end
local metadata = {name = name, namespace = obj.metadata.namespace}
-- It is the Flow's, where the old one was, and goes with it; not of the run that started the old one, whose wishes
-- would hold for it.
local owners = {}
for _, owner in ipairs(obj.metadata.ownerReferences or {}) do
  if owner.kind == "Flow" then table.insert(owners, owner) end
end
if #owners > 0 then metadata.ownerReferences = owners end
local schedule = (obj.metadata.labels or {})["headwater.dev/schedule"]
if schedule ~= nil then metadata.labels = {["headwater.dev/schedule"] = schedule} end
return {{
  operation = "create",
  resource = {apiVersion = obj.apiVersion, kind = "FlowRun", metadata = metadata, spec = spec},
}}
