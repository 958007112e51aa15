if obj.metadata.deletionTimestamp ~= nil then return {} end
local suspended = obj.spec.suspend == true
return {
  ["run"] = {displayName = "Run", iconClass = "fa fa-fw fa-play"},
  ["suspend"] = {displayName = "Suspend", iconClass = "fa fa-fw fa-pause", disabled = suspended},
  ["resume"] = {displayName = "Resume", iconClass = "fa fa-fw fa-play-circle", disabled = not suspended},
}
