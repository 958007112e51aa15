if obj.metadata.deletionTimestamp ~= nil then return {} end
-- A mapped task whose children wait is Running itself.
local function is_paused(task)
  return task.state == "Paused" or ((task.mapped or {}).paused or 0) > 0
end
local state = "Scheduled"
for _, condition in ipairs((obj.status or {}).conditions or {}) do
  if condition.type == "Succeeded" then
    if condition.status == "True" then return {} end
    if condition.status == "False" then
      return {["retry-failed"] = {displayName = "Retry what failed", iconClass = "fa fa-fw fa-redo"}}
    end
    state = condition.reason
  end
end
local cancel = obj.spec.cancel or ""
local actions = {
  ["cancel"] = {displayName = "Cancel", iconClass = "fa fa-fw fa-stop", disabled = cancel ~= ""},
  ["terminate"] = {displayName = "Terminate", iconClass = "fa fa-fw fa-times", disabled = cancel == "Terminate"},
}
if obj.status == nil or obj.status.attempt == nil then
  local suspended = obj.spec.suspend == true
  actions["suspend"] = {displayName = "Suspend", iconClass = "fa fa-fw fa-pause", disabled = suspended}
  actions["resume"] = {displayName = "Resume", iconClass = "fa fa-fw fa-play", disabled = not suspended}
end
for _, task in ipairs((obj.status or {}).tasks or {}) do
  if is_paused(task) then
    actions["approve"] = {displayName = "Approve what is paused", iconClass = "fa fa-fw fa-check"}
    actions["reject"] = {displayName = "Reject what is paused", iconClass = "fa fa-fw fa-ban"}
  end
end
return actions
