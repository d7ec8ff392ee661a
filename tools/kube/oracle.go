package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"
	"unsafe"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
)

// What a HorizontalPodAutoscaler looks at, in one line of JSON.  Ages are seconds before now,
// amounts of CPU thousandths of a processor.
type question struct {
	Replicas  int32      `json:"replicas"`
	Target    int32      `json:"target_percent"`
	Tolerance [2]float64 `json:"tolerance"` // up, down
	Pods      []pod      `json:"pods"`
}

type pod struct {
	Phase     core.PodPhase `json:"phase"`
	Deleted   bool          `json:"deleted"`
	Age       float64       `json:"age_s"`
	Ready     *bool         `json:"ready"` // null: no such condition
	ReadyAge  float64       `json:"ready_age_s"`
	Request   int64         `json:"request_milli"`
	Usage     *int64        `json:"usage_milli"` // null: no sample
	SampleAge float64       `json:"sample_age_s"`
	Window    float64       `json:"window_s"`
}

type answer struct {
	Replicas int32  `json:"replicas"`
	Percent  int32  `json:"percent"`
	Usage    int64  `json:"usage_milli"` // of a pod, as it counted them
	Error    string `json:"error,omitempty"`
}

// The calculator asks for metrics and gets those of the question.
type given struct {
	metrics.MetricsClient
	samples metrics.PodMetricsInfo
	at      time.Time
}

func (g given) GetResourceMetric(context.Context, core.ResourceName, string, labels.Selector, string) (metrics.PodMetricsInfo, time.Time, error) {
	return g.samples, g.at, nil
}

const namespace = "oracle"

var everyPod = labels.Set{"app": "asked"}

// oracle answers each line with what the real replica calculator of Kubernetes says.
func oracle(in io.Reader, out, complaints io.Writer) int {
	lines := bufio.NewReaderSize(in, 1<<20)
	answers := bufio.NewWriter(out)
	defer answers.Flush()
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return 0
		}
		var asked question
		if err == nil {
			err = json.Unmarshal(line, &asked)
		}
		if err != nil {
			fmt.Fprintln(complaints, "hpa-oracle:", err)
			return 2
		}
		said, err := json.Marshal(ask(asked))
		if err != nil {
			fmt.Fprintln(complaints, "hpa-oracle:", err)
			return 1
		}
		answers.Write(append(said, '\n'))
		if lines.Buffered() == 0 { // whoever asks one at a time waits for this one
			answers.Flush()
		}
	}
}

func ask(q question) answer {
	now := time.Now()
	before := func(age float64) time.Time {
		return now.Add(-time.Duration(age * float64(time.Second)))
	}
	pods := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	samples := metrics.PodMetricsInfo{}
	for i, p := range q.Pods {
		name := fmt.Sprintf("pod-%d", i)
		pods.Add(p.object(name, before))
		if p.Usage != nil {
			samples[name] = metrics.PodMetric{
				Timestamp: before(p.SampleAge),
				Window:    time.Duration(p.Window * float64(time.Second)),
				Value:     *p.Usage,
			}
		}
	}
	calculator := podautoscaler.NewReplicaCalculator(
		given{samples: samples, at: now}, listers.NewPodLister(pods), 5*time.Minute, 30*time.Second)
	replicas, percent, usage, _, err := calculator.GetResourceReplicas(
		context.Background(), q.Replicas, q.Target, core.ResourceCPU,
		tolerances(q.Tolerance), namespace, everyPod.AsSelector(), "")
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Replicas: replicas, Percent: percent, Usage: usage}
}

func (p pod) object(name string, before func(float64) time.Time) *core.Pod {
	began := meta.NewTime(before(p.Age))
	request := core.ResourceList{core.ResourceCPU: *resource.NewMilliQuantity(p.Request, resource.DecimalSI)}
	made := &core.Pod{
		ObjectMeta: meta.ObjectMeta{Name: name, Namespace: namespace, Labels: everyPod},
		Spec: core.PodSpec{Containers: []core.Container{
			{Name: "app", Resources: core.ResourceRequirements{Requests: request}},
		}},
		Status: core.PodStatus{Phase: p.Phase, StartTime: &began},
	}
	if p.Deleted {
		made.DeletionTimestamp = &began
	}
	if p.Ready != nil {
		status := core.ConditionFalse
		if *p.Ready {
			status = core.ConditionTrue
		}
		made.Status.Conditions = []core.PodCondition{
			{Type: core.PodReady, Status: status, LastTransitionTime: meta.NewTime(before(p.ReadyAge))},
		}
	}
	return made
}

// The fields of Tolerances are not exported: only the controller of the module itself fills them.
func tolerances(upDown [2]float64) podautoscaler.Tolerances {
	var made podautoscaler.Tolerances
	fields := reflect.ValueOf(&made).Elem()
	for i, name := range []string{"scaleUp", "scaleDown"} {
		*(*float64)(unsafe.Pointer(fields.FieldByName(name).UnsafeAddr())) = upDown[i]
	}
	return made
}
