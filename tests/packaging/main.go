// Checks what operators are given for containers: that each manifest is one by the types that Kubernetes itself has, that
// the compose file is one by the loader of its specification, and that what is said in several places agrees.
//
//	go run . -version 0.1.0 -drain 30s PACKAGING
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// What a program needs after its drain, to close what is open and end.
const margin = 10 * time.Second

// The user that the images name.
const petit = int64(65532)

// What is expected of all files.
type expected struct {
	version string
	drain   time.Duration
	wrong   []string
	// What kustomization.yaml makes and replaces: config maps, and images.
	generated, images []string
}

func (e *expected) that(is bool, what string, more ...any) {
	if !is {
		e.wrong = append(e.wrong, fmt.Sprintf(what, more...))
	}
}

func main() {
	version := flag.String("version", "", "the version that the images have")
	drain := flag.Duration("drain", 0, "for how long a server finishes what is under way")
	flag.Parse()
	if flag.NArg() != 1 || *version == "" || *drain == 0 {
		flag.Usage()
		os.Exit(2)
	}
	e := &expected{version: *version, drain: *drain}
	packaging := flag.Arg(0)
	found, err := e.kubernetes(filepath.Join(packaging, "kubernetes"))
	if err == nil {
		err = e.compose(filepath.Join(packaging, "compose.yaml"))
	}
	if err != nil {
		e.wrong = append(e.wrong, err.Error())
	}
	if len(e.wrong) > 0 {
		fmt.Fprintln(os.Stderr, strings.Join(e.wrong, "\n"))
		os.Exit(1)
	}
	fmt.Printf("%d manifests and a compose file\n", found)
}

// All manifests of a folder. Each has to be of a kind that is known here, and to have no field that the kind has not.
func (e *expected) kubernetes(folder string) (int, error) {
	var set apps.StatefulSet
	var service core.Service
	var secret core.Secret
	var policy networking.NetworkPolicy
	kinds := map[string]any{"StatefulSet": &set, "Service": &service, "Secret": &secret, "NetworkPolicy": &policy}
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return 0, err
	}
	files = append(files, filepath.Join(folder, "secret.yaml.example"))
	found := 0
	for _, file := range files {
		if filepath.Base(file) == kustomization {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		for _, document := range bytes.Split(text, []byte("\n---\n")) {
			var kind meta.TypeMeta
			if err := yaml.Unmarshal(document, &kind); err != nil {
				return 0, fmt.Errorf("%s: %w", file, err)
			}
			into, known := kinds[kind.Kind]
			if !known {
				return 0, fmt.Errorf("%s: a second manifest of the kind %q, or one that is not expected", file, kind.Kind)
			}
			delete(kinds, kind.Kind)
			if err := yaml.UnmarshalStrict(document, into); err != nil {
				return 0, fmt.Errorf("%s: %w", file, err)
			}
			e.that(apiVersion(into) == kind.APIVersion, "%s: %s is no %s", file, kind.APIVersion, apiVersion(into))
			found++
		}
	}
	if err := e.kustomize(filepath.Join(folder, kustomization)); err != nil {
		return 0, err
	}
	e.that(len(kinds) == 0, "%s: not there: %v", folder, reflect.ValueOf(kinds).MapKeys())
	e.server(set)
	e.agree(set, service, secret, policy)
	return found, nil
}

const kustomization = "kustomization.yaml"

// The file that names what is applied together. Its types are kustomize's own; of those it has these.
func (e *expected) kustomize(file string) error {
	var list struct {
		meta.TypeMeta `json:",inline"`
		Resources     []string `json:"resources"`
		Generated     []struct {
			Name  string   `json:"name"`
			Files []string `json:"files"`
		} `json:"configMapGenerator"`
		Options struct {
			DisableNameSuffixHash bool `json:"disableNameSuffixHash"`
		} `json:"generatorOptions"`
		Images []struct {
			Name    string `json:"name"`
			NewName string `json:"newName"`
			NewTag  string `json:"newTag"`
		} `json:"images"`
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := yaml.UnmarshalStrict(text, &list); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	e.that(len(list.Resources) > 0, "%s: names nothing", file)
	for _, generated := range list.Generated {
		e.generated = append(e.generated, generated.Name)
		for _, from := range generated.Files {
			_, err := os.Stat(filepath.Join(filepath.Dir(file), from))
			e.that(err == nil, "%s: %v", file, err)
		}
	}
	e.that(list.Options.DisableNameSuffixHash, "%s: a change of a setting is an outage", file)
	for _, image := range list.Images {
		e.images = append(e.images, image.Name)
		e.that(strings.HasSuffix(image.NewName, "/"+image.Name) && image.NewTag == e.version, "%s: image %v", file, image)
	}
	for _, resource := range list.Resources {
		_, err := os.Stat(filepath.Join(filepath.Dir(file), resource))
		e.that(err == nil, "%s: %v", file, err)
	}
	return nil
}

func apiVersion(object any) string {
	switch object.(type) {
	case *apps.StatefulSet:
		return "apps/v1"
	case *networking.NetworkPolicy:
		return "networking.k8s.io/v1"
	default:
		return "v1"
	}
}

func is[T comparable](value *T, wanted T) bool {
	return value != nil && *value == wanted
}

// The pod: one, without rights, asked by commands, with time to end.
func (e *expected) server(set apps.StatefulSet) {
	pod := set.Spec.Template.Spec
	e.that(is(set.Spec.Replicas, 1), "one server: two would have two registries")
	grace := time.Duration(0)
	if pod.TerminationGracePeriodSeconds != nil {
		grace = time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
	}
	e.that(grace >= e.drain+margin, "terminationGracePeriodSeconds: %v is less than %v and %v", grace, e.drain, margin)
	e.that(is(pod.AutomountServiceAccountToken, false), "the server has nothing to say to the cluster")
	user := pod.SecurityContext
	e.that(user != nil && is(user.RunAsNonRoot, true) && is(user.RunAsUser, petit) && is(user.FSGroup, petit), "not the user of the image")
	e.that(user != nil && user.SeccompProfile != nil && user.SeccompProfile.Type == core.SeccompProfileTypeRuntimeDefault, "no seccomp profile")
	e.that(len(pod.InitContainers) == 2 && len(pod.Containers) == 1, "one container, and two that set it up")
	for _, container := range append(slices.Clone(pod.InitContainers), pod.Containers...) {
		rights := container.SecurityContext
		e.that(rights != nil && is(rights.ReadOnlyRootFilesystem, true) && is(rights.AllowPrivilegeEscalation, false), "%s: may write, or rise", container.Name)
		e.that(rights != nil && rights.Capabilities != nil && slices.Equal(rights.Capabilities.Drop, []core.Capability{"ALL"}) && rights.Capabilities.Add == nil, "%s: capabilities", container.Name)
		e.that(slices.Contains(e.images, container.Image), "%s: image %s", container.Name, container.Image)
		e.that(container.Command == nil, "%s: the image says which program", container.Name)
		for _, mount := range container.VolumeMounts {
			e.that(isVolume(set, mount.Name), "%s: no volume %s", container.Name, mount.Name)
		}
	}
	if len(pod.Containers) == 1 {
		server := pod.Containers[0]
		e.probe("startup", server.StartupProbe, "--live")
		e.probe("liveness", server.LivenessProbe, "--live")
		e.probe("readiness", server.ReadinessProbe, "--ready")
		state := slices.IndexFunc(server.VolumeMounts, func(mount core.VolumeMount) bool { return mount.MountPath == "/var/lib/petit" })
		e.that(state >= 0 && !server.VolumeMounts[state].ReadOnly, "no volume for what outlives the container")
	}
}

func isVolume(set apps.StatefulSet, name string) bool {
	claimed := slices.ContainsFunc(set.Spec.VolumeClaimTemplates, func(claim core.PersistentVolumeClaim) bool { return claim.Name == name })
	return claimed || slices.ContainsFunc(set.Spec.Template.Spec.Volumes, func(volume core.Volume) bool { return volume.Name == name })
}

// The check itself says why not after 5 s, so whoever asks waits for longer than that.
func (e *expected) probe(name string, probe *core.Probe, check string) {
	if probe == nil || probe.Exec == nil {
		e.that(false, "%s: no probe by a command", name)
		return
	}
	e.that(slices.Equal(probe.Exec.Command, []string{"/usr/bin/petit-server", "check", check}), "%s: %v", name, probe.Exec.Command)
	e.that(probe.TimeoutSeconds > 5, "%s: timeoutSeconds %d", name, probe.TimeoutSeconds)
}

// What one manifest says of another.
func (e *expected) agree(set apps.StatefulSet, service core.Service, secret core.Secret, policy networking.NetworkPolicy) {
	pod := labels.Set(set.Spec.Template.Labels)
	for name, selector := range map[string]*meta.LabelSelector{"StatefulSet": set.Spec.Selector, "NetworkPolicy": &policy.Spec.PodSelector} {
		matches, err := meta.LabelSelectorAsSelector(selector)
		e.that(err == nil && !matches.Empty() && matches.Matches(pod), "%s does not select the pod", name)
	}
	e.that(len(service.Spec.Selector) > 0 && labels.SelectorFromSet(service.Spec.Selector).Matches(pod), "Service does not select the pod")
	e.that(set.Spec.ServiceName == service.Name, "serviceName %s is not %s", set.Spec.ServiceName, service.Name)
	open := map[string]int32{}
	for _, container := range set.Spec.Template.Spec.Containers {
		for _, port := range container.Ports {
			open[port.Name] = port.ContainerPort
		}
	}
	for _, port := range service.Spec.Ports {
		e.that(open[port.TargetPort.StrVal] != 0, "Service: no port %s in the container", port.TargetPort.String())
	}
	admitted := map[int32]bool{}
	for _, rule := range policy.Spec.Ingress {
		for _, port := range rule.Ports {
			admitted[port.Port.IntVal] = true
		}
	}
	for name, port := range open {
		e.that(admitted[port], "NetworkPolicy: nobody gets to port %s (%d)", name, port)
	}
	e.that(secret.Type == core.SecretTypeTLS, "Secret: %s", secret.Type)
	keys := secret.StringData
	for _, volume := range set.Spec.Template.Spec.Volumes {
		if volume.ConfigMap != nil {
			e.that(slices.Contains(e.generated, volume.ConfigMap.Name), "volume %s: no config map %s", volume.Name, volume.ConfigMap.Name)
		}
		if volume.Secret == nil {
			continue
		}
		e.that(volume.Secret.SecretName == secret.Name, "volume %s: no secret %s", volume.Name, volume.Secret.SecretName)
		e.that(volume.Secret.DefaultMode != nil && *volume.Secret.DefaultMode&0o007 == 0, "volume %s: everybody may read it", volume.Name)
		for _, item := range volume.Secret.Items {
			_, there := keys[item.Key]
			e.that(there, "volume %s: the secret has no %s", volume.Name, item.Key)
		}
	}
}

// The compose file, with every service of every profile.
func (e *expected) compose(file string) error {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithProfiles([]string{"*"}), cli.WithConsistency(true))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	e.that(len(project.Services) == 2, "%s: %d services", file, len(project.Services))
	for name, service := range project.Services {
		program := "petit-" + name
		e.that(service.Image == program+":"+e.version, "%s: image %s", name, service.Image)
		e.that(service.ReadOnly && slices.Equal(service.CapDrop, []string{"ALL"}) && slices.Equal(service.SecurityOpt, []string{"no-new-privileges:true"}), "%s: has rights", name)
		e.that(service.StopGracePeriod != nil && time.Duration(*service.StopGracePeriod) >= e.drain+margin, "%s: no time to end", name)
		e.that(service.HealthCheck != nil && slices.Equal([]string(service.HealthCheck.Test), []string{"CMD", "/usr/bin/" + program, "check", "--ready"}), "%s: no health check", name)
		e.that(service.HealthCheck != nil && service.HealthCheck.Timeout != nil && time.Duration(*service.HealthCheck.Timeout) > 5*time.Second, "%s: no time for a health check", name)
		state := false
		for _, volume := range service.Volumes {
			state = state || (volume.Target == "/var/lib/petit" && volume.Type == "volume" && !volume.ReadOnly)
		}
		e.that(state, "%s: no volume for what outlives the container", name)
	}
	return nil
}
