-- A FlowRun's conditions are those of kstatus; a run that waits for a person is Suspended.
local waiting = {status = "Progressing", message = "Waiting for the operator"}
if obj.status == nil or obj.status.conditions == nil then return waiting end
if obj.status.observedGeneration ~= obj.metadata.generation then return waiting end
local conditions = {}
for _, condition in ipairs(obj.status.conditions) do
  if condition.status == "True" then conditions[condition.type] = condition end
end
if conditions.Stalled then return {status = "Degraded", message = conditions.Stalled.message} end
local at_work = conditions.Reconciling
if at_work then
  local held = at_work.reason == "Paused" or at_work.reason == "Suspended"
  return {status = held and "Suspended" or "Progressing", message = at_work.message}
end
if conditions.Ready then return {status = "Healthy", message = conditions.Ready.message} end
return waiting
