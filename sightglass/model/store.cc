#include "sightglass/model/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "sightglass/core/folder.h"
#include "sightglass/memory/module.h"
#include "sightglass/model/download.h"
#include "sightglass/model/sha256.h"
#include "sightglass/model/spelling.h"
#include "sightglass/model/tfjs/convert.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Status write_text(const fs::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) return fail(ErrorCode::io, "{}: cannot be written: {}", path.string(), std::strerror(errno));
  return {};
}

Status make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return fail(ErrorCode::io, "{}: cannot be created: {}", folder.string(), error.message());
  return {};
}

Status rename_file(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) return fail(ErrorCode::io, "{}: cannot be written: {}", to.string(), error.message());
  return {};
}

fs::path folder_of(const Manifest& manifest) {
  switch (manifest.kind) {
    case ManifestKind::model:
      return cache_dir() / "models";
    case ManifestKind::media:
      return cache_dir() / "media";
    case ManifestKind::engine:
      return cache_dir() / "engines" / manifest.name;
  }
  return cache_dir();
}

fs::path description_path(const Manifest& manifest) {
  return folder_of(manifest) / (manifest.name + ".sightglass.yaml");
}

// Says from what the files beside it were made. Two lines, so that a changed description alone asks for no
// download.
fs::path stamp_path(const Manifest& manifest) {
  return folder_of(manifest) / ("." + manifest.name + ".stamp");
}
struct Stamp {
  std::string sources, description;
  std::string text() const { return sources + "\n" + description + "\n"; }
};
Stamp stamp_of(const Manifest& manifest) {
  std::string sources;
  for (const ManifestFile& file : manifest.files) sources += file.sha256 + " " + file.name + "\n";
  if (manifest.convert)
    sources += "tfjs " + manifest.convert->graph + " " + joined(manifest.convert->outputs) + " " +
               tfjs_converter_version().value_or("") + "\n";
  return {sha256(sources), sha256(manifest.description)};
}

bool has_files(const Manifest& manifest) {
  return std::ranges::all_of(stored_paths(manifest), is_file) &&
         read_text(stamp_path(manifest)).starts_with(stamp_of(manifest).sources);
}

// One fetch at a time per cache.
class Lock {
 public:
  ~Lock() {
    if (fd_ >= 0) close(fd_);
  }
  Status take(const FetchProgress& progress) {
    const fs::path path = cache_dir() / ".fetch.lock";
    fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd_ < 0) return fail(ErrorCode::io, "{}: cannot be written: {}", path.string(), std::strerror(errno));
    if (flock(fd_, LOCK_EX | LOCK_NB) == 0) return {};
    if (progress) progress("waiting for another fetch to finish");
    while (flock(fd_, LOCK_EX) != 0)
      if (errno != EINTR)
        return fail(ErrorCode::io, "{}: cannot be locked: {}", path.string(), std::strerror(errno));
    return {};
  }

 private:
  int fd_ = -1;
};

// A folder on the cache's own file system, so that everything leaves it by renaming. Made under the lock.
class WorkFolder {
 public:
  ~WorkFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Status make() {
    std::error_code error;
    for (const auto& path : paths_in(cache_dir(), error))  // of those that were killed
      if (path.filename().string().starts_with(".fetch-")) fs::remove_all(path, error);
    std::string name = (cache_dir() / ".fetch-XXXXXX").string();
    if (!mkdtemp(name.data()))
      return fail(ErrorCode::io, "{}: cannot be written: {}", cache_dir().string(), std::strerror(errno));
    path_ = name;
    return {};
  }
  // An empty folder in it.
  Result<fs::path> folder() {
    fs::path path = path_ / std::to_string(count_++);
    if (auto status = make_folder(path); !status) return forward_error(status);
    return path;
  }

 private:
  fs::path path_;
  int count_ = 0;
};

// Files that conversions start from are kept, by checksum, so that a new converter needs no network.
fs::path source_path(const ManifestFile& file) { return cache_dir() / "sources" / file.sha256; }

Status check_sum(const Manifest& manifest, const ManifestFile& file, const fs::path& path) {
  auto sum = sha256_of_file(path);
  if (!sum) return forward_error(sum);
  if (*sum == file.sha256) return {};
  return fail(ErrorCode::corrupt, "{}: {} of {} has the wrong checksum: it is {}, the manifest says {}",
              manifest.name, file.path, manifest.package.to_string(), *sum, file.sha256);
}

Status store_description(const Manifest& manifest, WorkFolder& work) {
  if (!manifest.description.empty()) {
    auto folder = work.folder();
    if (!folder) return forward_error(folder);
    const std::string text = std::format("# Written by `sightglass models fetch` from the manifest {}.\n{}",
                                         manifest.name, manifest.description);
    if (auto status = write_text(*folder / "description", text); !status) return status;
    if (auto status = rename_file(*folder / "description", description_path(manifest)); !status)
      return status;
  }
  auto folder = work.folder();
  if (!folder) return forward_error(folder);
  if (auto status = write_text(*folder / "stamp", stamp_of(manifest).text()); !status) return status;
  return rename_file(*folder / "stamp", stamp_path(manifest));
}

// The converted model, from its sources in the cache.
Result<fs::path> convert(const Manifest& manifest, WorkFolder& work) {
  auto folder = work.folder();
  if (!folder) return forward_error(folder);
  for (const ManifestFile& file : manifest.files) {
    std::error_code error;
    fs::create_symlink(fs::absolute(source_path(file)), *folder / fs::path(file.path).filename(), error);
    if (error) return fail(ErrorCode::io, "{}: cannot be written: {}", folder->string(), error.message());
  }
  const fs::path onnx = *folder / "converted.onnx";
  if (auto status = convert_tfjs(*folder / fs::path(manifest.convert->graph).filename(), onnx,
                                 manifest.convert->outputs);
      !status)
    return fail(status.error().code, "{}: {}", manifest.name, status.error().message);
  return onnx;
}

// The files of one manifest, checked and put in place; `unpacked` is where its package lies, empty when the
// sources are in the cache already.
Status store(const Manifest& manifest, const fs::path& unpacked, WorkFolder& work,
             const FetchProgress& progress) {
  for (const fs::path& folder : {folder_of(manifest), cache_dir() / "sources"})
    if (auto status = make_folder(folder); !status) return status;
  std::error_code ignored;
  fs::remove(stamp_path(manifest), ignored);  // until all is in place again
  if (!unpacked.empty())
    for (const ManifestFile& file : manifest.files) {
      const fs::path from = unpacked / file.path;
      if (manifest.convert && !is_file(from) && is_file(source_path(file)))
        continue;  // moved for another manifest
      if (auto status = check_sum(manifest, file, from); !status) return status;
      if (manifest.convert)
        if (auto status = rename_file(from, source_path(file)); !status) return status;
    }
  const std::vector<fs::path> targets = stored_paths(manifest);
  if (manifest.convert) {
    if (progress) progress("converting " + manifest.name);
    auto onnx = convert(manifest, work);
    if (!onnx) return forward_error(onnx);
    if (auto status = rename_file(*onnx, targets[0]); !status) return status;
  } else {
    for (size_t i = 0; i < targets.size(); ++i) {
      // A copy: another manifest may want the same file of the package.
      auto folder = work.folder();
      if (!folder) return forward_error(folder);
      std::error_code error;
      fs::copy_file(unpacked / manifest.files[i].path, *folder / "file", error);
      if (error) return fail(ErrorCode::io, "{}: cannot be written: {}", folder->string(), error.message());
      if (auto status = rename_file(*folder / "file", targets[i]); !status) return status;
    }
  }
  return store_description(manifest, work);
}

// Everything of one package that `manifests` want.
void fetch_package(const PackageName& package, const std::vector<const Manifest*>& manifests,
                   WorkFolder& work, const FetchProgress& progress, std::vector<Error>& errors) {
  std::vector<std::string> names;
  std::set<std::string> paths;
  for (const Manifest* manifest : manifests) {
    names.push_back(manifest->name);
    for (const ManifestFile& file : manifest->files) paths.insert(file.path);
  }
  if (progress) progress(std::format("downloading {} for {}", package.to_string(), joined(names)));
  auto folder = work.folder();
  Status status = folder ? Status() : forward_error(folder);
  if (status) status = download_files(package, {paths.begin(), paths.end()}, *folder);
  if (!status) {
    errors.push_back(status.error());
    errors.back().message = joined(names) + ": " + errors.back().message;
    return;
  }
  for (const Manifest* manifest : manifests)
    if (auto stored = store(*manifest, *folder, work, progress); !stored) errors.push_back(stored.error());
  std::error_code ignored;
  fs::remove_all(*folder, ignored);
}

Result<fs::path> resolve(ManifestKind kind, std::string_view name) {
  if (is_file(fs::path(name))) return fs::path(name);
  auto manifests = known_manifests();
  if (!manifests)
    return fail(ErrorCode::not_found, "{}: no such file; and {}", name, manifests.error().message);
  std::vector<std::string> names;
  for (const Manifest& manifest : *manifests) {
    if (manifest.kind != kind) continue;
    names.push_back(manifest.name);
    if (manifest.name != name) continue;
    const std::vector<fs::path> paths = stored_paths(manifest);
    if (paths.size() != 1 && kind != ManifestKind::model)  // of a model the first is the model
      return fail(ErrorCode::invalid_argument, "{} is {} files, not one", name, paths.size());
    if (!is_file(paths[0]))
      return fail(ErrorCode::not_found, "{} is not fetched yet; run `sightglass models fetch {}`", name,
                  name);
    return paths[0];
  }
  const bool is_path = name.find('/') != name.npos || name.find('.') != name.npos;
  return fail(ErrorCode::not_found, "{}: no such file{}", name,
              is_path ? std::string()
                      : std::format(", nor a known name{}; `sightglass models list` shows those known",
                                    did_you_mean(name, names)));
}

}  // namespace

fs::path cache_dir() {
  if (const std::string own = environment("SIGHTGLASS_CACHE"); !own.empty()) return own;
  if (const std::string caches = environment("XDG_CACHE_HOME"); !caches.empty())
    return fs::path(caches) / "sightglass";
  const std::string home = environment("HOME");
  return fs::path(home.empty() ? "/tmp" : home) / ".cache" / "sightglass";
}

fs::path data_dir() {
  const std::string own = environment("SIGHTGLASS_DATA_DIR");
  if (!own.empty()) return own;
  // An installation: <prefix>/lib[/<architecture>] beside <prefix>/share.
  fs::path folder = library_folder();
  for (int up = 0; up < 2 && folder.has_relative_path(); ++up) {
    folder = folder.parent_path();
    if (std::error_code ignored; fs::is_directory(folder / "share/sightglass/models", ignored))
      return folder / "share/sightglass";
  }
  return SIGHTGLASS_DATA_DIR;
}

Result<std::vector<Manifest>> known_manifests() { return load_manifests(data_dir() / "models"); }

std::vector<fs::path> stored_paths(const Manifest& manifest) {
  const fs::path folder = folder_of(manifest);
  if (manifest.convert) return {folder / (manifest.name + ".onnx")};
  std::vector<fs::path> paths;
  for (const ManifestFile& file : manifest.files)
    paths.push_back(folder / (manifest.kind == ManifestKind::model
                                  ? manifest.name + fs::path(file.name).extension().string()
                                  : file.name));
  return paths;
}

bool is_stored(const Manifest& manifest) {
  return std::ranges::all_of(stored_paths(manifest), is_file) &&
         (manifest.description.empty() || is_file(description_path(manifest))) &&
         read_text(stamp_path(manifest)) == stamp_of(manifest).text();
}

std::vector<Error> fetch(std::span<const Manifest> manifests, const FetchProgress& progress) {
  std::vector<const Manifest*> wanted;
  const auto keep = [&](const Manifest& manifest) {
    if (manifest.files.empty()) {
      if (progress) progress(manifest.name + ": nothing for this kind of machine");
    } else if (!is_stored(manifest)) {
      wanted.push_back(&manifest);
    }
  };
  std::ranges::for_each(manifests, keep);
  if (wanted.empty()) return {};

  std::vector<Error> errors;
  Lock lock;
  WorkFolder work;
  Status status = make_folder(cache_dir());
  if (status) status = lock.take(progress);
  if (status) status = work.make();
  if (!status) return {status.error()};
  std::erase_if(wanted, [](const Manifest* manifest) {
    return is_stored(*manifest);
  });  // by the fetch that we waited for

  std::map<std::string, std::vector<const Manifest*>> by_package;
  for (const Manifest* manifest : wanted) {
    const auto have_source = [](const ManifestFile& file) {
      return is_file(source_path(file)) && sha256_of_file(source_path(file)).value_or("") == file.sha256;
    };
    if (has_files(*manifest))
      status = store_description(*manifest, work);
    else if (manifest->convert && std::ranges::all_of(manifest->files, have_source))
      status = store(*manifest, {}, work, progress);
    else
      by_package[manifest->package.to_string()].push_back(manifest), status = {};
    if (!status) errors.push_back(status.error());
  }
  for (const auto& [name, list] : by_package)
    fetch_package(list.front()->package, list, work, progress, errors);
  return errors;
}

Result<fs::path> resolve_model(std::string_view name_or_path) {
  return resolve(ManifestKind::model, name_or_path);
}
Result<fs::path> resolve_media(std::string_view name_or_path) {
  return resolve(ManifestKind::media, name_or_path);
}

}  // namespace sightglass
