#include "sightglass/model/manifest.h"

#include <sys/utsname.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "sightglass/core/folder.h"
#include "sightglass/model/import_yaml.h"
#include "sightglass/model/spelling.h"
#include "sightglass/model/yaml_map.h"

namespace sightglass {
namespace {

constexpr std::string_view manifest_keys[] = {
    "sightglass_manifest", "name", "kind", "title", "licence", "package", "files", "convert", "description"};
constexpr std::string_view kinds[] = {"model", "media", "engine"};

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.front() != '.' && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

bool is_inside(const std::string& path) {
  const std::filesystem::path parts(path);
  return !path.empty() && parts.is_relative() && std::ranges::find(parts, "..") == parts.end() &&
         path.find_first_of("*?[]\\\n") == path.npos;
}

bool is_sha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

std::string machine() {
  utsname system;
  return uname(&system) == 0 ? system.machine : "";
}

Result<PackageName> read_package(const YamlMap& map) {
  constexpr std::string_view known[] = {"npm", "debian", "version"};
  if (!map.find("package")) return map.missing("package");
  auto inner = YamlMap::read(*map.find("package"), map.file(), "package", known);
  if (!inner) return forward_error(inner);
  const bool npm = inner->find("npm"), debian = inner->find("debian");
  if (npm == debian) return inner->fail(npm ? "npm" : "package", "expects one of npm and debian");
  auto name = inner->text(npm ? "npm" : "debian");
  if (!name) return forward_error(name);
  // Neither client may take a name or version for an option or a file.
  const auto safe = [](const std::string& text) {
    return !text.empty() && (std::isalnum(static_cast<unsigned char>(text[0])) || text[0] == '@') &&
           text.find("..") == text.npos && text.find_first_of(" \t\n;:=\\") == text.npos;
  };
  if (!safe(*name)) return inner->fail(npm ? "npm" : "debian", "is not the name of a package");
  if (debian) return PackageName{PackageName::Registry::debian, *name, ""};
  auto version = inner->text("version");
  if (!version) return forward_error(version);
  if (!safe(*version)) return inner->fail("version", "is not a version");
  return PackageName{PackageName::Registry::npm, *name, *version};
}

// Nothing for another machine.
Result<std::optional<ManifestFile>> read_file(const YAML::Node& node, const std::string& file, size_t index) {
  constexpr std::string_view known[] = {"path", "sha256", "as", "arch"};
  auto map = YamlMap::read(node, file, std::format("files[{}]", index), known);
  if (!map) return forward_error(map);
  auto path = map->text("path");
  if (!path) return forward_error(path);
  if (!is_inside(*path)) return map->fail("path", "expects a path inside the package");
  auto sum = map->text("sha256");
  if (!sum) return forward_error(sum);
  if (!is_sha256(*sum)) return map->fail("sha256", "expects 64 hexadecimal digits in lower case");
  std::string name = std::filesystem::path(*path).filename();
  if (map->find("as")) {
    auto as = map->text("as");
    if (!as) return forward_error(as);
    name = *as;
  }
  if (!is_plain_name(name)) return map->fail(map->find("as") ? "as" : "path", "expects a plain file name");
  if (map->find("arch")) {
    auto arch = map->text("arch");
    if (!arch) return forward_error(arch);
    if (*arch != machine()) return std::nullopt;
  }
  return ManifestFile{*path, *sum, name};
}

Result<TfjsConversion> read_conversion(const YamlMap& map, const std::vector<ManifestFile>& files) {
  constexpr std::string_view known[] = {"tfjs", "outputs"};
  auto inner = YamlMap::read(*map.find("convert"), map.file(), "convert", known);
  if (!inner) return forward_error(inner);
  TfjsConversion conversion;
  auto graph = inner->text("tfjs");
  if (!graph) return forward_error(graph);
  if (std::ranges::find(files, *graph, &ManifestFile::path) == files.end())
    return inner->fail("tfjs", "is not one of the files");
  conversion.graph = *graph;
  if (inner->find("outputs")) {
    auto outputs = inner->texts("outputs");
    if (!outputs) return forward_error(outputs);
    conversion.outputs = *outputs;
  }
  return conversion;
}

}  // namespace

std::string_view to_string(ManifestKind kind) { return kinds[size_t(kind)]; }

std::string PackageName::to_string() const {
  return registry == Registry::npm ? std::format("npm {}@{}", name, version) : "Debian " + name;
}

Result<Manifest> parse_manifest(std::string_view text, const std::filesystem::path& path) {
  const std::string file = path.string();
  auto node = parse_yaml(text, file);
  if (!node) return forward_error(node);
  auto map = YamlMap::read(*node, file, "", manifest_keys);
  if (!map) return forward_error(map);
  auto version = map->integer("sightglass_manifest");
  if (!version) return forward_error(version);
  if (*version != 1)
    return map->fail("sightglass_manifest",
                     std::format("version {} is not known; this program reads 1", *version));

  Manifest manifest;
  for (const auto& [key, target] :
       {std::pair("name", &manifest.name), {"title", &manifest.title}, {"licence", &manifest.licence}}) {
    auto value = map->text(key);
    if (!value) return forward_error(value);
    *target = *value;
  }
  if (!is_plain_name(manifest.name) || manifest.name != path.stem().string())
    return map->fail("name", std::format("'{}' is not the name of this file", manifest.name));
  auto kind = map->text("kind");
  if (!kind) return forward_error(kind);
  const auto found = std::ranges::find(kinds, *kind);
  if (found == std::end(kinds))
    return map->fail("kind", std::format("unknown value '{}'; known are model, media, engine", *kind));
  manifest.kind = ManifestKind(found - std::begin(kinds));

  auto package = read_package(*map);
  if (!package) return forward_error(package);
  manifest.package = *package;
  if (!map->find("files")) return map->missing("files");
  size_t index = 0;
  for (const YAML::Node& item : yaml_items(*map->find("files"))) {
    auto source = read_file(item, file, index++);
    if (!source) return forward_error(source);
    if (*source) manifest.files.push_back(**source);
  }
  if (map->find("convert")) {
    auto conversion = read_conversion(*map, manifest.files);
    if (!conversion) return forward_error(conversion);
    manifest.convert = *conversion;
  }
  if (const YAML::Node* description = map->find("description")) {
    auto info = import_yaml_node(*description, file, path.parent_path(), {OriginKind::sidecar, file});
    if (!info) return forward_error(info);
    manifest.description = YAML::Dump(*description) + "\n";
  }
  // The model is the first; the others are what its description names.
  const bool one_model =
      manifest.convert ||
      (!manifest.files.empty() &&
       std::ranges::all_of(manifest.files.begin() + 1, manifest.files.end(),
                           [](const ManifestFile& f) { return f.name.ends_with(".txt"); }));
  if (manifest.kind == ManifestKind::model && !one_model)
    return map->fail("files", "a model is one file, with lists of labels (.txt), or is converted to one");
  if (manifest.kind != ManifestKind::model && manifest.convert)
    return map->fail("convert", "only models are converted");
  return manifest;
}

Result<std::vector<Manifest>> load_manifests(const std::filesystem::path& folder) {
  std::error_code error;
  auto paths = paths_in(folder, error);
  std::erase_if(paths, [](const auto& path) { return path.extension() != ".yaml"; });
  if (error) return fail(ErrorCode::not_found, "{}: no manifests: {}", folder.string(), error.message());
  std::ranges::sort(paths);
  std::vector<Manifest> manifests;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (!file) return fail(ErrorCode::io, "{}: cannot be read", path.string());
    auto manifest = parse_manifest(text, path);
    if (!manifest) return forward_error(manifest);
    manifests.push_back(std::move(*manifest));
  }
  return manifests;
}

}  // namespace sightglass
