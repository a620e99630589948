#!/usr/bin/env python3
"""samples/cluster: syntax, references between the files, probe paths, and what `sightglass validate` says.

    cluster_files_test.py PROGRAM
"""

import re
import subprocess
import sys
import unittest
from pathlib import Path

import yaml

PROGRAM = "sightglass"
ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "samples" / "cluster"
PROBES = {"livenessProbe": "/livez", "readinessProbe": "/readyz", "startupProbe": "/readyz"}


def documents(path):
    return [one for one in yaml.safe_load_all(path.read_text()) if one is not None]


def module(name):
    return yaml.safe_load((FOLDER / name).read_text())


def sources_of(description):
    source = description["pipeline"]["source"]
    return source if isinstance(source, list) else [source]


class ClusterFiles(unittest.TestCase):
    def setUp(self):
        self.compose = documents(FOLDER / "compose.yml")[0]
        self.kustomization = documents(FOLDER / "kustomization.yaml")[0]
        self.objects = [one for name in self.kustomization["resources"] for one in documents(FOLDER / name)]

    def of_kind(self, *kinds):
        return {one["metadata"]["name"]: one for one in self.objects if one["kind"] in kinds}

    def workloads(self):
        return self.of_kind("Deployment", "StatefulSet").values()

    # --- modules ----------------------------------------------------------------------------------------------

    def test_modules_are_valid(self):
        for name in ("module.yml", "ingest.yml"):
            done = subprocess.run([PROGRAM, "validate", FOLDER / name], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertNotIn("has no source of type", done.stdout + done.stderr)
            self.assertNotIn("has no sink of type", done.stdout + done.stderr)

    def test_topics_groups_and_partitions_agree(self):
        frames = module("ingest.yml")["pipeline"]["sinks"][0]
        source = sources_of(module("module.yml"))[0]
        trigger = self.of_kind("ScaledObject")["gate-counter"]["spec"]["triggers"][0]["metadata"]
        self.assertEqual(frames["video_topic"], source["topics"])
        self.assertEqual(trigger["topic"], source["topics"])
        self.assertEqual(trigger["consumerGroup"], source["group"])
        self.assertLessEqual(self.of_kind("ScaledObject")["gate-counter"]["spec"]["maxReplicaCount"],
                             frames["partitions"])
        kafka = self.compose["services"]["kafka"]["environment"]
        self.assertGreaterEqual(int(kafka["KAFKA_MESSAGE_MAX_BYTES"]), frames["max_message"])

    def test_what_the_source_relies_on_is_required(self):
        for sink in module("module.yml")["pipeline"]["sinks"] + module("ingest.yml")["pipeline"]["sinks"]:
            self.assertTrue(sink["required"])

    # --- compose ----------------------------------------------------------------------------------------------

    def test_compose_refers_to_what_is_there(self):
        services = self.compose["services"]
        for name, service in services.items():
            for other in service.get("depends_on", []):
                self.assertIn(other, services)
            for secret in service.get("secrets", []):
                self.assertIn(secret, self.compose["secrets"])
            for volume in service.get("volumes", []):
                source, target = volume.split(":")[:2]
                if source.startswith("./"):
                    self.assertTrue((FOLDER / source).is_file(), source)
                    self.assertIn(target, " ".join(service["command"]), f"{name}: {target} is not used")
                else:
                    self.assertIn(source, self.compose["volumes"])
            for host, _ in re.findall(r"\b([a-z]+):(\d{4,5})\b", f"{service.get('command')} {service['environment'] if 'environment' in service else ''}"):
                if host not in ("http", "localhost"):
                    self.assertIn(host, services, name)

    def test_compose_asks_the_probes(self):
        for name in ("module", "ingest"):
            port = module(f"{name}.yml")["http"]["bind"].rsplit(":", 1)[1]
            self.assertIn(f"http://127.0.0.1:{port}/readyz", self.compose["services"][name]["healthcheck"]["test"])
        camera = self.compose["services"]["camera"]
        self.assertIn(f"http://{self.bind_of(camera['command'])}/readyz", camera["healthcheck"]["test"])

    def bind_of(self, command):
        return command[command.index("--http") + 1]

    def test_addresses_of_cameras_are_on_no_command_line(self):
        pod = self.of_kind("Deployment")["camera-gate-1"]["spec"]["template"]["spec"]
        mounts = {one["name"]: one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}
        (file,) = [word for word in pod["containers"][0]["args"] if word.startswith("url")]
        self.assertTrue(file.startswith(f"url_file={mounts['camera']}/"), file)
        (file,) = [word for word in self.compose["services"]["camera"]["command"] if word.startswith("url")]
        self.assertEqual(file, "url_file=/run/secrets/camera-url")
        self.assertNotIn("CAMERA_URL", f"{self.compose['services']}")
        # What kubelet is to reach, others can, and the program wants a token then, from a folder that is mounted.
        args = pod["containers"][0]["args"]
        self.assertFalse(self.bind_of(args).startswith("127."), args)
        tokens = args[args.index("--http-token-file") + 1]
        self.assertEqual(tokens, f"{mounts['token']}/{module('module.yml')['http']['token_file'].rsplit('/', 1)[1]}")
        # The program takes these very words; the file is not there, and is what it says.
        for words in (pod["containers"][0]["args"], self.compose["services"]["camera"]["command"]):
            words = [word.replace("${CAMERA_NAME:-cam-1}", "cam-1") for word in words[1:]]
            words[words.index("--http") + 1] = "127.0.0.1:0"
            done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=60)
            self.assertNotEqual(done.returncode, 0)
            (path,) = [word.split("=")[1] for word in words if word.startswith("url_file=")]
            self.assertIn(path, done.stderr)

    def test_secrets_of_examples_are_no_secrets(self):
        self.assertTrue((FOLDER / "module-token.example").is_file())
        self.assertFalse((FOLDER / "module-token").exists())

    # --- kubernetes -------------------------------------------------------------------------------------------

    def test_objects_are_complete_and_named_once(self):
        seen = set()
        for one in self.objects:
            self.assertTrue(one["apiVersion"] and one["kind"])
            key = one["kind"], one["metadata"]["name"]
            self.assertNotIn(key, seen)
            seen.add(key)
        files = {str(path.relative_to(FOLDER)) for path in FOLDER.glob("kubernetes/*.yaml")}
        self.assertEqual(files, set(self.kustomization["resources"]))
        self.assertIn(self.kustomization["namespace"], self.of_kind("Namespace"))

    def test_pods_refer_to_what_is_there(self):
        configs = {one["name"]: one["files"] for one in self.kustomization["configMapGenerator"]}
        secrets = {one["name"] for one in self.kustomization["secretGenerator"]}
        secrets.add("cameras")  # made by hand, as README.md says
        self.assertIn("a secret `cameras`", (FOLDER / "README.md").read_text())
        for files in configs.values():
            for file in files:
                self.assertTrue((FOLDER / file).is_file(), file)
        for workload in self.workloads():
            spec = workload["spec"]
            self.assertLessEqual(spec["selector"]["matchLabels"].items(),
                                 spec["template"]["metadata"]["labels"].items())
            pod = spec["template"]["spec"]
            volumes = {one["name"]: one for one in pod.get("volumes", [])}
            claims = {one["metadata"]["name"] for one in spec.get("volumeClaimTemplates", [])}
            for volume in volumes.values():
                if "configMap" in volume:
                    self.assertIn(volume["configMap"]["name"], configs)
                if "secret" in volume:
                    self.assertIn(volume["secret"]["secretName"], secrets)
            for container in pod["containers"]:
                mounts = {one["name"]: one["mountPath"] for one in container.get("volumeMounts", [])}
                self.assertLessEqual(mounts.keys(), volumes.keys() | claims)
                for word in container.get("args", []):
                    if not word.endswith(".yml"):
                        continue
                    folder, name = word.rsplit("/", 1)
                    held = [configs[volumes[mount]["configMap"]["name"]] for mount, path in mounts.items()
                            if path == folder and "configMap" in volumes.get(mount, {})]
                    self.assertIn([name], held, word)

    def test_probes_are_those_that_a_process_has(self):
        probed = 0
        for workload in self.workloads():
            for container in workload["spec"]["template"]["spec"]["containers"]:
                ports = {one["name"]: one["containerPort"] for one in container.get("ports", [])}
                for probe, path in PROBES.items():
                    if probe not in container:
                        continue
                    probed += 1
                    get = container[probe]["httpGet"]
                    self.assertEqual(get["path"], path)
                    files = [word.rsplit("/", 1)[1] for word in container["args"] if word.endswith(".yml")]
                    bind = module(files[0])["http"]["bind"] if files else self.bind_of(container["args"])
                    self.assertEqual(str(ports[get["port"]]), bind.rsplit(":", 1)[1])
                    self.assertTrue(bind.startswith("0.0.0.0:"), bind)
        self.assertEqual(probed, 8)

    def test_services_find_their_pods_and_ports(self):
        for service in self.of_kind("Service").values():
            pods = [one["spec"]["template"] for one in self.workloads()
                    if service["spec"]["selector"].items() <= one["spec"]["template"]["metadata"]["labels"].items()]
            self.assertEqual(len(pods), 1)
            ports = {one["name"]: one["containerPort"] for one in pods[0]["spec"]["containers"][0]["ports"]}
            for port in service["spec"]["ports"]:
                self.assertEqual(ports[port["targetPort"]], port["port"])
        listening = sources_of(module("ingest.yml"))[0]["url"].rsplit(":", 1)[1]
        self.assertEqual(self.of_kind("Service")["ingest"]["spec"]["ports"][0]["port"], int(listening))
        camera = self.of_kind("Deployment")["camera-gate-1"]["spec"]["template"]["spec"]["containers"][0]
        self.assertIn(f"dealer+connect:tcp://ingest:{listening}", camera["args"])

    def test_scaling_is_of_a_workload_that_is_there(self):
        target = self.of_kind("ScaledObject")["gate-counter"]["spec"]["scaleTargetRef"]
        self.assertIn(target["name"], self.of_kind(target["kind"]))
        module_set = self.of_kind("StatefulSet")["gate-counter"]
        self.assertNotIn("replicas", module_set["spec"], "would fight with the scaling")
        for budget in self.of_kind("PodDisruptionBudget").values():
            self.assertEqual(budget["spec"]["selector"], module_set["spec"]["selector"])
        # The member's name is the pod's, which stays.
        names = {one["name"]: one for one in module_set["spec"]["template"]["spec"]["containers"][0]["env"]}
        self.assertEqual(names["HOSTNAME"]["valueFrom"]["fieldRef"]["fieldPath"], "metadata.name")
        self.assertEqual(module("module.yml")["parameters"]["member"]["env"], "HOSTNAME")

    def test_images_name_no_registry(self):
        images = [service["image"] for service in self.compose["services"].values()]
        images += [container["image"] for workload in self.workloads()
                   for container in workload["spec"]["template"]["spec"]["containers"]]
        for image in images:
            self.assertRegex(image, r"^(\$\{[A-Z_]+:\?[a-zA-Z ]+\}|[a-z]+)$")


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
