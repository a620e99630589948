#include "sightglass/cli/reference_pages.h"

#include <algorithm>
#include <fstream>
#include <map>

#include "sightglass/bins/migration.h"
#include "sightglass/cli/element_info.h"
#include "sightglass/core/folder.h"
#include "sightglass/core/registry.h"
#include "sightglass/elements/metaconvert/frame_schema.h"
#include "sightglass/module/schema_text.h"
#include "sightglass/module/spec_schema.h"

namespace sightglass::cli {
namespace {

namespace fs = std::filesystem;

// ---- groups: a page each

struct Group {
  const char *page, *title, *intro;
  std::vector<std::string> elements;  // by name; the rest is found by kind
};
const std::vector<Group>& groups() {
  static const std::vector<Group> list = {
      {"bins", "Bins", "Whole steps, the usual choice. Each builds its stages from single elements.", {}},
      {"gva",
       "gva names",
       "Names of older pipelines. Each is another element under this name, with the properties that it had "
       "then; [Migrating](../migrating.md) says what becomes of each.",
       {}},
      {"pre-processing",
       "Pre-processing",
       "From pictures to the tensors that a model wants.",
       {"video_to_tensor", "tensor_convert", "opencv_cropscale", "opencv_tensor_normalize",
        "opencv_warp_affine", "vaapi_batch_proc", "vaapi_sync", "vaapi_to_opencl",
        "opencl_tensor_normalize"}},
      {"regions-and-batches",
       "Regions, rates, batches, joins",
       "Which frames and regions are looked at, how they travel together, and how results come back.",
       {"roi_split", "rate_adjust", "gvadrop", "gvafpsthrottle", "capsrelax", "batch_create", "batch_split",
        "meta_aggregate", "meta_smooth", "prepare_objects", "tensor_sliding_window", "tensor_histogram",
        "gvaattachroi"}},
      {"inference", "Inference", "Run a model on tensors.", {}},
      {"decoders", "Decoders", "From the numbers of a model to objects and attributes.", {}},
      {"objects",
       "Objects and drawing",
       "What is done with objects once they are found.",
       {"opencv_object_association", "opencv_remove_background", "opencv_find_contours",
        "opencv_barcode_detector", "opencv_meta_overlay", "object_analytics", "postprocess_objects"}},
      {"results",
       "Results and measuring",
       "From results to text, files and brokers; how fast it goes.",
       {"metaconvert", "metapublish", "gvafpscounter"}},
      {"media", "Sources and sinks", "Of the library, for programs and flows without GStreamer.", {}},
      {"other", "Other elements", "Elements of plug-ins and small helpers.", {}},
  };
  return list;
}

std::string_view page_of(const ElementInfo& info) {
  for (const auto& group : groups())
    if (std::ranges::contains(group.elements, info.name)) return group.page;
  if (info.name.starts_with("gva")) return "gva";
  if (info.is_bin) return "bins";
  if (info.name.starts_with("tensor_postproc_")) return "decoders";
  if (info.name.ends_with("_inference")) return "inference";
  const auto* desc = find_element(info.name);
  const bool is_end = desc && (desc->kind == ElementKind::source || desc->kind == ElementKind::sink);
  return is_end ? "media" : "other";
}

// ---- Markdown

constexpr const char* made_by = "<!-- Made by `./run docs`; do not edit. -->\n";

using module::markdown_cell;

std::string sentence(const std::string& text) {
  return markdown_cell(text) + (text.ends_with('.') ? "" : ".");
}

// What a table shows of a parameter's values.
std::string values_text(const ParamInfo& param) {
  std::string text = param.range.empty() ? "" : markdown_cell(param.range);
  if (!param.unit.empty()) text += (text.empty() ? "" : " ") + markdown_cell(param.unit);
  return text;
}

std::string element_section(const ElementInfo& info) {
  std::string text =
      std::format("\n## {}\n\n**{}.** {}\n", info.name, markdown_cell(info.title), sentence(info.doc));
  for (const auto& alias : element_aliases()) {
    if (alias.name != info.name) continue;
    const auto target = element_info(std::string(alias.target));
    text +=
        std::format("\nStands for [`{}`]({}.md#{}){}{}.\n", alias.target, target ? page_of(*target) : "other",
                    alias.target, alias.differences.empty() ? "" : ": ", alias.differences);
  }
  text += '\n';
  for (const auto& format : info.inputs) text += std::format("- in: {}\n", markdown_cell(format));
  for (const auto& format : info.outputs) text += std::format("- out: {}\n", markdown_cell(format));
  const bool shortens = info.is_bin && info.name != "processbin";
  std::string rows;
  for (const auto& param : info.params) {
    if (shortens && param.is_of_every_bin()) continue;
    rows += std::format("| `{}`{} | {} | {} | {} | {}{} |\n", param.name, param.is_live ? " ▶" : "",
                        param.type, markdown_cell(param.default_value), values_text(param),
                        markdown_cell(param.doc), param.is_readable_only ? " (read only)" : "");
  }
  if (!rows.empty()) text += "\n| property | type | default | values | |\n|---|---|---|---|---|\n" + rows;
  if (shortens)
    text += "\nAnd the stages and queue sizes that every bin has: see [processbin](bins.md#processbin).\n";
  return text;
}

Status check_texts(const ElementInfo& info) {
  if (info.title.empty() || info.doc.empty() || info.klass.empty())
    return fail(ErrorCode::invalid_argument, "{}: its descriptor has no {}", info.name,
                info.title.empty() ? "title"
                : info.doc.empty() ? "doc"
                                   : "klass");
  for (const auto& param : info.params)
    if (param.doc.empty())
      return fail(ErrorCode::invalid_argument, "{}: the parameter {} has no doc", info.name, param.name);
  return {};
}

std::vector<GeneratedPage> reference(const std::vector<ElementInfo>& elements) {
  std::map<std::string_view, std::vector<const ElementInfo*>> by_page;
  for (const auto& info : elements) by_page[page_of(info)].push_back(&info);
  std::vector<GeneratedPage> pages;
  std::string index =
      std::string(made_by) +
      "# Reference\n\n"
      "Every element and bin, from its descriptor; `sightglass inspect NAME` shows the same.\n\n"
      "- A property marked ▶ may be changed while the pipeline runs, the others before it "
      "starts.\n"
      "- An enumeration lists its names with their numbers; both may be written.\n"
      "- Lists are written `<1,2>`, fractions `1/5`. `_` and `-` are alike in names of "
      "properties.\n"
      "- What this machine lacks is one line at the start, with what is usable instead; "
      "`sightglass doctor` says what there is.\n";
  for (const auto& group : groups()) {
    auto found = by_page.find(group.page);
    if (found == by_page.end()) continue;
    auto& list = found->second;
    // As the group names them, then by name.
    std::ranges::stable_sort(list, {}, [&](const ElementInfo* info) {
      return std::ranges::find(group.elements, info->name) - group.elements.begin();
    });
    std::string page =
        std::format("{}# {}\n\n{} [All pages](README.md)\n", made_by, group.title, group.intro);
    index += std::format("\n## [{}]({}.md)\n\n| | |\n|---|---|\n", group.title, group.page);
    for (const auto* info : list) {
      page += element_section(*info);
      index += std::format("| [`{}`]({}.md#{}) | {} |\n", info->name, group.page, info->name,
                           markdown_cell(info->title));
    }
    pages.push_back({fs::path("reference") / (std::string(group.page) + ".md"), std::move(page)});
  }
  index += "\n## [Modules](module.md)\n\nEvery key of a module's file.\n";
  pages.push_back({"reference/README.md", std::move(index)});
  return pages;
}

// ---- migrating

std::string link_to(std::string_view element) {
  const auto info = element_info(std::string(element));
  return info ? std::format("[`{}`](reference/{}.md#{})", element, page_of(*info), element)
              : std::format("`{}`", element);
}

GeneratedPage migrating() {
  std::string text = std::string(made_by) +
                     "# Migrating\n\n"
                     "Pipelines written for Intel DL Streamer (`gva*` elements, and the bins and elements of "
                     "its architecture 2.0) run unchanged: names of elements and properties, numbers of "
                     "enumerations and fields of caps are kept. This page says where something else stands "
                     "behind a name, and what is ignored or refused. `sightglass doctor NAME` prints the "
                     "part that concerns one name.\n\n"
                     "## Names that stand for others\n\n| name | is | |\n|---|---|---|\n";
  for (const auto& alias : element_aliases())
    text += std::format("| `{}` | {} | {} |\n", alias.name, link_to(alias.target),
                        markdown_cell(alias.differences));
  text +=
      "\n## Names that are not carried\n\nThey are not registered: a failing element that exists would "
      "mislead tools that look for it.\n\n| name | use instead |\n|---|---|\n";
  for (const auto& dropped : dropped_elements())
    text += std::format("| `{}` | {} |\n", dropped.name,
                        dropped.replacement.empty() ? "none, not in scope"
                        : dropped.is_element        ? link_to(dropped.replacement)
                                                    : markdown_cell(dropped.replacement));
  text +=
      "\n## Properties of gvainference, gvadetect and gvaclassify\n\n"
      "`same`: as on the bin that the name stands for. `ignored`: accepted, with a warning if it is set. "
      "`refused`: an error if it is set.\n\n| property | | |\n|---|---|---|\n";
  for (const auto& property : gva_properties())
    text += std::format("| `{}` | {} | {} |\n", property.name, to_string(property.treatment),
                        markdown_cell(property.meaning));
  text +=
      "\n`device=MULTI:…` and `HETERO:…`, and models in OpenVINO's own form (`.xml`), are refused as "
      "long as there is no OpenVINO engine; the `.onnx` form of a model runs on ONNX Runtime.\n";
  text += "\n## Keys of configuration texts\n\n| property | key | |\n|---|---|---|\n";
  for (const auto& key : config_keys())
    text += std::format("| `{}` | `{}` | {} |\n", key.property, key.key, markdown_cell(key.meaning));
  text +=
      "\n## What behaves differently\n\n"
      "- A device or back-end that is not there is an error with a list of what is usable; nothing falls "
      "back to the CPU silently.\n"
      "- The decoder follows from the description of the model or from the shapes of its outputs, never "
      "from the name of a file.\n"
      "- Objects travel as GStreamer's analytics metadata. `write-roi-meta=true` writes "
      "`GstVideoRegionOfInterestMeta` as well; it is always read.\n"
      "- `batch-size` works with every back-end, and a partial batch leaves when `batch-timeout` is over, "
      "at the end of the stream and when a stream leaves.\n"
      "- Results that are found in a region, a letterboxed or a rotated picture come out in coordinates "
      "of the whole frame.\n"
      "- JSON is our own layout unless `layout=dlstreamer` is set; "
      "[its schema](schema/frame.schema.json) is published.\n";
  return {"migrating.md", std::move(text)};
}

}  // namespace

Result<std::vector<GeneratedPage>> generated_pages() {
  const auto elements = all_element_info();
  for (const auto& info : elements)
    if (auto status = check_texts(info); !status) return forward_error(status);
  auto pages = reference(elements);
  pages.push_back(migrating());
  pages.push_back({"schema/frame.schema.json", std::string(frame_schema())});
  pages.push_back({"schema/module.json", module::json_schema(module::module_schema())});
  pages.push_back(
      {"reference/module.md", std::string(made_by) + module::reference_page(module::module_schema())});
  return pages;
}

Status write_pages(const fs::path& folder) {
  auto pages = generated_pages();
  if (!pages) return forward_error(pages);
  std::error_code error;
  for (const auto& there : paths_in(folder / "reference", error)) {
    const auto name = fs::path("reference") / there.filename();
    if (there.extension() == ".md" && !std::ranges::contains(*pages, name, &GeneratedPage::path))
      fs::remove(there, error);
  }
  for (const auto& page : *pages) {
    const auto path = folder / page.path;
    fs::create_directories(path.parent_path(), error);
    std::ofstream file(path, std::ios::binary);
    file << page.text;
    if (!file.flush()) return fail(ErrorCode::io, "{}: cannot be written", path.string());
  }
  return {};
}

}  // namespace sightglass::cli
