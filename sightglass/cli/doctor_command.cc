#include "sightglass/cli/doctor_command.h"

#include <gst/gst.h>

#include <algorithm>
#include <memory>

#include "sightglass/bins/bin.h"
#include "sightglass/bins/migration.h"
#include "sightglass/cli/exit.h"
#include "sightglass/cli/gst_setup.h"
#include "sightglass/cli/machine.h"
#include "sightglass/cli/pipeline_plan.h"
#include "sightglass/cli/text.h"
#include "sightglass/cli/version.h"
#include "sightglass/core/registry.h"
#include "sightglass/model/engine.h"
#include "sightglass/model/spelling.h"
#include "sightglass/model/store.h"

namespace sightglass::cli {
namespace {

// What of GStreamer we use, and which Debian package has it.
struct Purpose {
  const char* what;
  std::vector<std::string> elements;  // all are needed; "a|b": one of them
  const char* package;
  bool is_for_demo;
};
const std::vector<Purpose>& purposes() {
  static const std::vector<Purpose> list = {
      {"reading files",
       {"filesrc", "decodebin", "videoconvert", "videoscale"},
       "gstreamer1.0-plugins-base",
       true},
      {"AVI, MP4, Matroska", {"avidemux", "qtdemux", "matroskademux"}, "gstreamer1.0-plugins-good", true},
      {"decoding video", {"avdec_h264", "avdec_h265", "avdec_msmpeg4"}, "gstreamer1.0-libav", true},
      {"pictures",
       {"jpegdec", "pngdec", "jpegenc", "pngenc", "videoflip"},
       "gstreamer1.0-plugins-good",
       true},
      {"writing MP4",
       {"x264enc|openh264enc", "h264parse", "mp4mux"},
       "gstreamer1.0-plugins-ugly, -bad and -good",
       true},
      {"network streams", {"uridecodebin", "rtspsrc", "souphttpsrc"}, "gstreamer1.0-plugins-good", false},
      {"cameras", {"v4l2src"}, "gstreamer1.0-plugins-good", false},
      {"display",
       {"autovideosink", "ximagesink|xvimagesink|glimagesink|waylandsink"},
       "gstreamer1.0-x",
       false},
  };
  return list;
}

bool has_one_of(const std::string& names) {
  for (size_t from = 0; from <= names.size();) {
    const size_t to = std::min(names.find('|', from), names.size());
    if (has_element(names.substr(from, to - from))) return true;
    from = to + 1;
  }
  return false;
}

std::string one_of_text(std::string names) {
  for (size_t at; (at = names.find('|')) != names.npos;) names.replace(at, 1, " or ");
  return names;
}

class Report {
 public:
  void title(std::string_view text) { std::println("\n{}", text); }
  void add(const Finding& finding) {
    const char* mark = finding.health == Health::ok        ? "ok  "
                       : finding.health == Health::missing ? "-   "
                                                           : "FAIL";
    std::println("  {} {:<20} {}", mark, finding.what, finding.detail);
    if (finding.health == Health::failed) ++failures_;
  }
  int failures() const { return failures_; }

 private:
  int failures_ = 0;
};

void check_gstreamer(Report& report, const Status& plugin) {
  gchar* version = gst_version_string();
  report.title(version);
  g_free(version);
  for (const auto& purpose : purposes()) {
    std::vector<std::string> present, missing;
    for (const auto& element : purpose.elements)
      (has_one_of(element) ? present : missing).push_back(one_of_text(element));
    const Health health = missing.empty()       ? Health::ok
                          : purpose.is_for_demo ? Health::failed
                                                : Health::missing;
    report.add({health, purpose.what,
                missing.empty() ? joined(present)
                                : std::format("no {}; install {}", joined(missing), purpose.package)});
  }
  report.add({plugin ? Health::ok : Health::failed, "Sightglass elements",
              plugin ? count_text(plugin_elements().size(), "element") : plugin.error().message});
}

void check_engines(Report& report) {
  report.title("Engines");
  bool has_any = false;
  for (Engine* engine : engines()) {
    const auto info = engine->info();
    has_any = has_any || info;
    const std::string name(engine->name());
    if (!info) {
      report.add({Health::missing, name, info.error().message});
      continue;
    }
    report.add({Health::ok, name, info->version + ", " + info->library});
    if (!info->note.empty()) report.add({Health::missing, "", info->note});
    for (const char* device : {"CPU", "GPU"}) {
      const auto status = engine->check_device(device);
      report.add({status ? Health::ok : Health::missing, "  on " + std::string(device),
                  status ? "usable" : status.error().message});
    }
  }
  if (!has_any)
    report.add({Health::failed, "no engine",
                "install libonnxruntime1.21, or run `sightglass models fetch onnxruntime`"});
}

void check_store(Report& report) {
  report.title("Models and media");
  report.add({Health::ok, "cache",
              std::format("{}, {}", cache_dir().string(), bytes_text(folder_size(cache_dir().string())))});
  const auto manifests = known_manifests();
  if (!manifests) {
    report.add({Health::failed, "manifests", manifests.error().message});
    return;
  }
  for (const auto& manifest : *manifests) {
    const bool is_there = is_stored(manifest);
    report.add({is_there ? Health::ok : Health::missing, manifest.name,
                is_there ? manifest.title : "not fetched; `sightglass models fetch " + manifest.name + "`"});
  }
}

int check_all() {
  Report report;
  std::println("sightglass {}", version);
  const auto plugin = init_gstreamer();
  if (!gst_is_initialized()) return complain(plugin.error());
  check_gstreamer(report, plugin);
  check_engines(report);
  report.title("Devices");
  for (const auto& finding : devices()) report.add(finding);
  for (const auto& finding : fonts()) report.add(finding);
  check_store(report);
  if (report.failures()) {
    std::println("\nThe demo cannot run here: see FAIL above.");
    return 1;
  }
  std::println("\nThe demo can run here. What is marked - is not needed for it, or is fetched when it is.");
  return 0;
}

// What a user of an older pipeline has to know about a name that is there.
void print_migration(const std::string& name) {
  for (const auto& alias : element_aliases()) {
    if (alias.name != name) continue;
    std::println("It stands for {}{}{}", alias.target, alias.differences.empty() ? "" : ": ",
                 alias.differences);
  }
  const auto* bin = find_bin(name);
  if (bin && bin->params.find("no-block")) {
    for (const auto& property : gva_properties())
      if (property.treatment != Treatment::same && bin->params.find(property.name))
        std::println("  {:<22} {}: {}", property.name, to_string(property.treatment), property.meaning);
  }
  for (const auto& key : config_keys())
    if (key.property.starts_with(name + " "))
      std::println("  {:<22} key {}: {}", key.property.substr(name.size() + 1), key.key, key.meaning);
}

int check_name(const std::string& name) {
  if (auto status = init_gstreamer(); !status) return complain(status.error());
  const auto ours = plugin_elements();
  if (std::ranges::binary_search(ours, name) || find_element(name)) {
    std::println("{} is there; `sightglass inspect {}` describes it", name, name);
    print_migration(name);
    return 0;
  }
  if (const auto* dropped = find_dropped(name)) {
    std::println("{} is known but not carried: {}", name, replacement_text(*dropped));
    return 1;
  }
  if (has_element(name)) {
    std::println("{} is an element of GStreamer; `gst-inspect-1.0 {}` describes it", name, name);
    return 0;
  }
  for (const auto& purpose : purposes()) {
    for (const auto& element : purpose.elements)
      if (("|" + element + "|").contains("|" + name + "|"))
        return complain("{} is not on this machine; install {}", name, purpose.package);
  }
  return complain("{}: no element of that name is known{}", name, did_you_mean(name, all_gst_elements()));
}

}  // namespace

void add_doctor_command(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  auto* command = app.add_subcommand("doctor", "Say what works on this machine, what not and why");
  command->add_option("name", *name, "an element: whether it is there, or what replaces it")
      ->type_name("ELEMENT");
  command->callback([name] { exit_with(name->empty() ? check_all() : check_name(*name)); });
}

}  // namespace sightglass::cli
