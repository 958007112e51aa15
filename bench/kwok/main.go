// Command kwok plays nodes and the pods on them, so that bench/scale.py can have many: it is the
// controller of sigs.k8s.io/kwok, built from its module, with the stages that its own cluster would install.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	nodefast "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	nodelease "sigs.k8s.io/kwok/kustomize/stage/node/heartbeat-with-lease"
	podfast "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
	"sigs.k8s.io/kwok/pkg/config"
	"sigs.k8s.io/kwok/pkg/kwok/cmd"
	"sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/signals"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "kwok:", err)
		os.Exit(1)
	}
}

func run() error {
	stages, err := stagesFile()
	if err != nil {
		return err
	}
	defer os.Remove(stages)
	os.Args = append(os.Args, "--config", stages)

	// --config and -v are read before the command is made, as its defaults come from the configuration.
	early := pflag.NewFlagSet("early", pflag.ContinueOnError)
	early.ParseErrorsAllowlist.UnknownFlags = true
	early.Usage = func() {}
	ctx, _ := log.InitFlags(signals.SetupSignalContext(), early)
	ctx, err = config.InitFlags(ctx, early)
	if err != nil {
		return err
	}
	command := cmd.NewCommand(ctx)
	command.PersistentFlags().AddFlagSet(early)
	return command.ExecuteContext(ctx)
}

// stagesFile writes how nodes and pods go on: a node is ready at once and keeps its lease, a pod runs at once
// and is gone at once when it is deleted.
func stagesFile() (string, error) {
	file, err := os.CreateTemp("", "kwok-*.yaml")
	if err != nil {
		return "", err
	}
	defer file.Close()
	stages := []string{
		nodefast.DefaultNodeInit,
		nodelease.DefaultNodeHeartbeatWithLease,
		podfast.DefaultPodReady,
		podfast.DefaultPodDelete,
	}
	_, err = file.WriteString(strings.Join(stages, "\n---\n"))
	return file.Name(), err
}
