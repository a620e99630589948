#include "sightglass/model/download.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "sightglass/core/folder.h"
#include "sightglass/model/process.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;
using Command = std::vector<std::string>;

std::string program(const char* variable, const char* usual) {
  const char* value = std::getenv(variable);
  return value && *value ? value : usual;
}

// Clients say much; the line that helps a user most.
std::string reason(const ProcessResult& result) {
  for (const std::string_view telling :
       {"reason:", "not found", "Not found", "unexpected end", "No matching version", "Temporary failure",
        "Unable to", "not installed", "No space", "EACCES", "Permission denied"}) {
    std::istringstream lines(result.output);
    for (std::string line; std::getline(lines, line);)
      if (line.find(telling) != line.npos) return line.substr(line.find_first_not_of(" \t"));
  }
  return result.reason();
}

Result<fs::path> only_file(const fs::path& folder, std::string_view extension) {
  std::error_code error;
  for (auto& path : paths_in(folder, error))
    if (path.extension() == extension) return std::move(path);
  return fail(ErrorCode::not_found, "no *{} file", extension);
}

Result<fs::path> download_npm(const PackageName& package, const fs::path& folder) {
  const std::string npm = program("SIGHTGLASS_NPM", "npm"), wanted = package.name + "@" + package.version;
  // Its own patience without a network would be minutes.
  const Command command = {npm,
                           "pack",
                           "--ignore-scripts",
                           "--loglevel=error",
                           "--no-update-notifier",
                           "--fetch-retries=2",
                           "--fetch-retry-mintimeout=1000",
                           "--fetch-retry-maxtimeout=5000",
                           wanted};
  auto result = run_process(command, folder);
  if (!result)
    return fail(ErrorCode::unavailable, "npm package {} is needed: {}", wanted, result.error().message);
  if (result->exit_code == 127)
    return fail(ErrorCode::unavailable, "npm package {} is needed: {}", wanted, reason(*result));
  if (result->exit_code != 0)
    return fail(ErrorCode::io, "npm could not download {}: {}; is the network reachable?", wanted,
                reason(*result));
  auto archive = only_file(folder, ".tgz");
  if (!archive) return fail(ErrorCode::io, "npm could not download {}: it left no file", wanted);
  return archive;
}

Result<fs::path> download_debian(const PackageName& package, const fs::path& folder) {
  const std::string apt = program("SIGHTGLASS_APT_GET", "apt-get");
  // Its unprivileged helper could not write into a user's cache.
  const Command download = {
      apt, "-q", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=2", "download", package.name};
  auto result = run_process(download, folder);
  if (!result)
    return fail(ErrorCode::unavailable, "Debian package {} is needed: {}", package.name,
                result.error().message);
  std::string advice = "; is the network reachable?";
  if (result->exit_code != 0) {
    // The lists of packages may be missing or older than what the servers have.
    if (geteuid() == 0) {
      const auto updated = run_process({apt, "-q", "update"}, folder);
      if (updated && updated->exit_code == 0) result = run_process(download, folder);
      if (!result) return forward_error(result);
    } else {
      advice = "; is the network reachable? If it is, `sudo apt-get update` may help";
    }
  }
  if (result->exit_code != 0)
    return fail(ErrorCode::io, "apt-get could not download {}: {}{}", package.name, reason(*result), advice);
  auto archive = only_file(folder, ".deb");
  if (!archive) return fail(ErrorCode::io, "apt-get could not download {}: it left no file", package.name);
  return archive;
}

}  // namespace

Status download_files(const PackageName& package, const std::vector<std::string>& paths,
                      const fs::path& folder) {
  const bool npm = package.registry == PackageName::Registry::npm;
  auto archive = npm ? download_npm(package, folder) : download_debian(package, folder);
  if (!archive) return forward_error(archive);
  // npm's archives have one top folder of any name, Debian's start with "./".
  Command tar = {"tar", "-x", "-C", folder.string(), "--no-same-owner", "--no-same-permissions"};
  if (npm)
    tar.insert(tar.end(), {"-z", "-f", archive->string(), "--strip-components=1", "--wildcards",
                           "--no-wildcards-match-slash"});
  else
    tar.insert(tar.end(), {"-f", "-"});
  for (const std::string& path : paths) tar.push_back((npm ? "*/" : "./") + path);
  auto result = npm ? run_process(tar, folder)
                    : run_pipe({"dpkg-deb", "--fsys-tarfile", archive->string()}, tar, folder);
  if (!result) return forward_error(result);
  std::error_code error;
  fs::remove(*archive, error);
  for (const std::string& path : paths)
    if (!fs::is_regular_file(fs::symlink_status(folder / path, error)))
      return fail(result->exit_code == 0 ? ErrorCode::not_found : ErrorCode::corrupt,
                  "{}: no file {} came out of the package{}", package.to_string(), path,
                  result->exit_code == 0 ? std::string() : ": " + reason(*result));
  return {};
}

}  // namespace sightglass
