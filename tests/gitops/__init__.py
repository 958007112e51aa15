"""What tools that deploy say of our objects: Helm and Flux by kstatus, Argo CD by the scripts in helm/argocd."""
