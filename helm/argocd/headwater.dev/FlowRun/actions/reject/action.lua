-- One decision for each task that is paused, and of a mapped one for all its children, behind those that were given before.
local function is_paused(task)
  return task.state == "Paused" or ((task.mapped or {}).paused or 0) > 0
end
local decisions = obj.spec.decisions or {}
for _, task in ipairs((obj.status or {}).tasks or {}) do
  if is_paused(task) then
    table.insert(decisions, {task = task.slug or task.name, decision = "Reject"})
  end
end
obj.spec.decisions = decisions
return obj
