-- One decision for each task that is paused, behind those that were given before.
local decisions = obj.spec.decisions or {}
for _, task in ipairs((obj.status or {}).tasks or {}) do
  if task.state == "Paused" then
    table.insert(decisions, {task = task.slug or task.name, decision = "Approve"})
  end
end
obj.spec.decisions = decisions
return obj
