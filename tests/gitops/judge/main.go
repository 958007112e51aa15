// Judge prints what kstatus, by which Helm and Flux wait, and Argo CD say of Kubernetes objects.
//
// Both are the libraries themselves. On the standard input: {"overrides": {"GROUP/KIND": {"health": LUA, "actions":
// YAML}}, "objects": [OBJECT, ...]}, the overrides as argocd-cm holds them. Printed: a list with, for each object, its
// kstatus, its health, and each action that Argo CD offers for it with what it would do.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	appv1 "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type input struct {
	Overrides map[string]struct{ Health, Actions string }
	Objects   []json.RawMessage
}

type verdict struct {
	Kstatus        string            `json:"kstatus"`
	KstatusMessage string            `json:"kstatusMessage"`
	Health         string            `json:"health"`
	HealthMessage  string            `json:"healthMessage"`
	Actions        map[string]action `json:"actions"`
}

type action struct {
	Disabled bool     `json:"disabled"`
	Does     []effect `json:"does"`
}

type effect struct {
	Operation string         `json:"operation"`
	Resource  map[string]any `json:"resource"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

func run(from io.Reader, to io.Writer) error {
	var given input
	if err := json.NewDecoder(from).Decode(&given); err != nil {
		return fmt.Errorf("the input is not as it should be: %w", err)
	}
	overrides := map[string]appv1.ResourceOverride{}
	for key, one := range given.Overrides {
		overrides[key] = appv1.ResourceOverride{HealthLua: one.Health, Actions: one.Actions}
	}
	verdicts := make([]verdict, 0, len(given.Objects))
	for _, raw := range given.Objects {
		object := &unstructured.Unstructured{}
		// Not encoding/json's: numbers without a fraction are to be integers.
		if err := object.UnmarshalJSON(raw); err != nil {
			return err
		}
		found, err := judge(overrides, object)
		if err != nil {
			return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
		verdicts = append(verdicts, found)
	}
	return json.NewEncoder(to).Encode(verdicts)
}

func judge(overrides map[string]appv1.ResourceOverride, object *unstructured.Unstructured) (verdict, error) {
	computed, err := status.Compute(object)
	if err != nil {
		return verdict{}, fmt.Errorf("kstatus: %w", err)
	}
	found := verdict{Kstatus: computed.Status.String(), KstatusMessage: computed.Message, Actions: map[string]action{}}
	health, err := lua.ResourceHealthOverrides(overrides).GetResourceHealth(object)
	if err != nil {
		return verdict{}, fmt.Errorf("health: %w", err)
	}
	if health != nil {
		found.Health, found.HealthMessage = string(health.Status), health.Message
	}
	machine := lua.VM{ResourceOverrides: overrides}
	scripts, err := machine.GetResourceActionDiscovery(object)
	if err != nil || len(scripts) == 0 {
		return found, err
	}
	offered, err := machine.ExecuteResourceActionDiscovery(object, scripts)
	if err != nil {
		return verdict{}, fmt.Errorf("discovery of actions: %w", err)
	}
	for _, one := range offered {
		does, err := carryOut(machine, object, one.Name)
		if err != nil {
			return verdict{}, fmt.Errorf("action %s: %w", one.Name, err)
		}
		found.Actions[one.Name] = action{one.Disabled, does}
	}
	return found, nil
}

func carryOut(machine lua.VM, object *unstructured.Unstructured, name string) ([]effect, error) {
	definition, err := machine.GetResourceAction(object, name)
	if err != nil {
		return nil, err
	}
	impacted, err := machine.ExecuteResourceAction(object, definition.ActionLua, nil)
	if err != nil {
		return nil, err
	}
	effects := make([]effect, 0, len(impacted))
	for _, one := range impacted {
		effects = append(effects, effect{string(one.K8SOperation), one.UnstructuredObj.Object})
	}
	return effects, nil
}
