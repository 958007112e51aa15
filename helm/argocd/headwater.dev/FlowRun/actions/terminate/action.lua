obj.spec.cancel = "Terminate"
return obj
