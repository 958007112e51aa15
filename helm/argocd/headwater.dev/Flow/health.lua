-- A Flow's conditions are those of kstatus; a suspended one that is ready is Suspended. Its last run does not count.
local waiting = {status = "Progressing", message = "Waiting for the operator"}
if obj.status == nil or obj.status.conditions == nil then return waiting end
if obj.status.observedGeneration ~= obj.metadata.generation then return waiting end
local conditions = {}
for _, condition in ipairs(obj.status.conditions) do
  if condition.status == "True" then conditions[condition.type] = condition end
end
if conditions.Stalled then return {status = "Degraded", message = conditions.Stalled.message} end
if conditions.Reconciling then return {status = "Progressing", message = conditions.Reconciling.message} end
if conditions.Ready and obj.spec.suspend then return {status = "Suspended", message = conditions.Ready.message} end
if conditions.Ready then return {status = "Healthy", message = conditions.Ready.message} end
return waiting
