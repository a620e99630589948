#include "sightglass/cli/init_command.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "sightglass/cli/exit.h"

namespace sightglass::cli {
namespace {

namespace fs = std::filesystem;

struct ProjectFile {
  const char *name, *text;
};

constexpr ProjectFile project[] = {
    {"module.yml",
     R"(# A module of Sightglass: finds people and cars, follows them and counts who crosses a line.
#
#   sightglass models fetch centernet                        once
#   sightglass validate module.yml                           is all well? touches no device
#   sightglass run module.yml --input VIDEO --output out/    without sockets or servers
#   sightglass run module.yml                                as a service
#
# Editors complete and check this file with the schema that `sightglass schema module` prints.
version: 1
name: NAME

# Values that may be changed while the module runs: over HTTP, in etcd, in a file, by the environment.
parameters:
  threshold: {type: float, default: 0.4, min: 0.05, max: 1.0, doc: least score of an object}
  # Two points, 0..1 of the picture. Each stream may have its own.
  gate: {type: line, default: [[0.0, 0.6], [1.0, 0.6]], per_source: true, doc: where crossing is counted}

# Networks, loaded once for all streams. `path` is a file, or a name of `sightglass models list`.
models:
  objects: {path: centernet}

pipeline:
  # Frames come from other programs: `sightglass send VIDEO --to push+connect:tcp://127.0.0.1:5560`.
  source: {type: zeromq, url: "pull+bind:tcp://127.0.0.1:5560"}

  # What is done with each frame, in order. The name of an element is the namespace of what it writes.
  elements:
    - name: objects
      type: detector
      model: objects
      keep: {label: [person, car]}
      properties: {threshold: "${parameters.threshold}", batch_size: 4}

    - name: tracks
      type: tracker
      properties: {algorithm: byte, max_age: 30}

    # A frame in which somebody crosses gets the tag `crossing`.
    - name: gate
      type: lines
      select: objects.person
      properties: {lines: {main: "${parameters.gate}"}, anchor: bottom}
      tag: crossing

    # A function of your own, for those frames only. It runs in a process beside the module.
    - name: report
      type: pyfunc
      when: {frame: {tag: crossing}}
      budget: 20ms
      function: {language: python, path: report.py, symbol: Report}

  # Where results go: a file of JSON lines per stream.
  sinks:
    - {name: results, type: json_file, folder: out}

# Metrics, health and parameters: http://127.0.0.1:8080/metrics, /readyz, /v1/parameters
http: {bind: "127.0.0.1:8080"}
)"},
    {"report.py",
     R"("""The function `report` of module.yml: sees each frame in which somebody crosses the gate."""


class Report:
    pixels = False  # it does not look at pictures, which makes a call far cheaper

    def start(self, info):
        """Before the first frame of a stream; each stream has an object of its own."""
        self.crossings = 0

    def process(self, frame):
        """Changes objects, attributes and tags of the frame."""
        self.crossings += 1
        people = [o for o in frame.objects if o.label == "person"]
        if len(people) > 3:
            frame.tags.add("crowd")

    def apply(self, parameters):
        """Parameters of the module have changed."""

    def stop(self, reason):
        """After the last frame."""
)"},
    {"README.md", R"(# NAME

A module of Sightglass: finds people and cars, follows them and counts who crosses a line.

    sightglass models fetch centernet
    sightglass validate module.yml
    sightglass run module.yml --input VIDEO --output out/

`out/` then has a record per frame (`<source>.jsonl`) and `summary.json`.

- `module.yml` is the module: what goes in, what is done with it, what comes out.
- `report.py` is a function of your own that it calls.

As a service: `sightglass run module.yml`, then from elsewhere

    sightglass send VIDEO --to push+connect:tcp://127.0.0.1:5560
    curl -X PUT http://127.0.0.1:8080/v1/parameters/threshold -d '{"value": 0.6}'
    sightglass diff module.yml changed.yml     # what a change would do to the running module
)"},
    {".gitignore", "out/\nstate/\n__pycache__/\n"},
};

// A name that a module may have, from that of the folder.
std::string module_name(const fs::path& folder) {
  std::string name;
  for (char c : fs::absolute(folder).lexically_normal().filename().string()) {
    if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
    const bool is_letter = c >= 'a' && c <= 'z', is_digit = c >= '0' && c <= '9';
    if (is_letter || (is_digit && !name.empty()))
      name += c;
    else if (!name.empty() && !name.ends_with('-'))
      name += '-';
  }
  while (name.ends_with('-')) name.pop_back();
  return name.empty() ? "module" : name.substr(0, 64);
}

int run(const std::string& target) {
  const fs::path folder = fs::path(target) / "";
  std::error_code error;
  for (const auto& file : project)
    if (exists(folder / file.name, error))
      return complain("{} is there already; nothing was written", (folder / file.name).string());
  create_directories(folder, error);
  if (error) return complain("{}: {}", target, error.message());
  const std::string name = module_name(folder.parent_path());
  for (const auto& [file, text] : project) {
    std::string content = text;
    for (size_t at = content.find("NAME"); at != content.npos; at = content.find("NAME", at + 1))
      content.replace(at, 4, name);
    std::ofstream stream(folder / file, std::ios::binary);
    stream << content;
    if (!stream.flush()) return complain("{}: cannot be written", (folder / file).string());
    std::println("{}", (folder / file).string());
  }
  std::println("\nnext: sightglass models fetch centernet && sightglass validate {}",
               (folder / "module.yml").string());
  return 0;
}

}  // namespace

void add_init_command(CLI::App& app) {
  auto folder = std::make_shared<std::string>();
  auto* command = app.add_subcommand("init", "Write a commented project to start from");
  command->add_option("dir", *folder, "folder; made where it is not there")->type_name("DIR")->required();
  command->callback([folder] { exit_with(run(*folder)); });
}

}  // namespace sightglass::cli
