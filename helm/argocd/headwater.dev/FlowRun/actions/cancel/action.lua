obj.spec.cancel = "Cancel"
return obj
