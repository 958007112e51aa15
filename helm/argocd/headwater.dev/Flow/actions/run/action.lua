-- A run with the Flow's own parameters. A name may have 52 characters, and there is no library to cut one.
local os = require("os")
local moment = os.date("!%Y%m%d-%H%M%S")
local name = obj.metadata.name .. "-" .. moment
if #name > 52 then name = "run-" .. moment end
local owner = {
  apiVersion = obj.apiVersion, kind = obj.kind, name = obj.metadata.name, uid = obj.metadata.uid,
  controller = true, blockOwnerDeletion = true,
}
return {{
  operation = "create",
  resource = {
    apiVersion = obj.apiVersion,
    kind = "FlowRun",
    metadata = {name = name, namespace = obj.metadata.namespace, ownerReferences = {owner}},
    spec = {flow = obj.metadata.name},
  },
}}
