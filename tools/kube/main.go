// One program that is several: a real Kubernetes control plane, kubectl, and an oracle of its
// autoscaler.
//
//	kube etcd|apiserver|controller-manager|scheduler FLAGS...
//	kube kubectl COMMAND...
//	kube hpa-oracle < questions > answers
//
// What the parts share is compiled and linked once: that is most of them.
package main

import (
	"fmt"
	"os"
	"sort"
	"strings"
	_ "time/tzdata"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// A part reads os.Args itself, as the program that it usually is.
func command(build func() *cobra.Command) func() int {
	return func() int { return cli.Run(build()) }
}

var parts = map[string]func() int{
	"apiserver":          command(apiserver.NewAPIServerCommand),
	"controller-manager": command(controllers.NewControllerManagerCommand),
	"scheduler":          command(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
	"kubectl":            command(func() *cobra.Command { return kubectl.NewDefaultKubectlCommand() }),
	"etcd":               func() int { etcdmain.Main(os.Args); return 0 },
	"hpa-oracle":         func() int { return oracle(os.Stdin, os.Stdout, os.Stderr) },
}

func main() {
	if len(os.Args) > 1 {
		if run, known := parts[os.Args[1]]; known {
			os.Args = os.Args[1:]
			os.Exit(run())
		}
	}
	var names []string
	for name := range parts {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Fprintf(os.Stderr, "usage: kube %s FLAGS...\n", strings.Join(names, "|"))
	os.Exit(2)
}
