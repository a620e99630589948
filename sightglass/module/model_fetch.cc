#include "sightglass/module/model_fetch.h"

#include <algorithm>
#include <format>

#include "sightglass/adapters/tls_params.h"
#include "sightglass/core/masked_url.h"
#include "sightglass/model/sha256.h"
#include "sightglass/model/store.h"
#include "sightglass/net/download.h"
#include "sightglass/net/s3.h"
#include "sightglass/net/url.h"

namespace sightglass::module {
namespace {

namespace fs = std::filesystem;

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  return text;
}

Status check_sum(const fs::path& file, const std::string& wanted, std::string_view shown) {
  auto sum = sha256_of_file(file);
  if (!sum) return forward_error(sum);
  if (*sum == lower(wanted)) return {};
  return fail(ErrorCode::corrupt,
              "{}: has the checksum {}, not {}; if the model has changed on purpose, change `sha256`", shown,
              *sum, lower(wanted));
}

// What stands in `auth`, with the secrets read.
struct Auth {
  std::string user, password, token, access_key, secret_key, region = "us-east-1", endpoint;
};
Result<Auth> read_auth(const ModelSpec& model, const ModuleSpec& module) {
  Auth auth;
  const auto text = [&](std::string_view key) {
    const Value* const value = model.auth.find(key);
    return value && value->text() ? *value->text() : std::string();
  };
  const auto secret = [&](const char* key, std::string& target) -> Status {
    if (text(key).empty()) return {};
    auto read = adapters::read_secret(module.folder, text(key), std::format("auth.{}", key));
    if (!read) return forward_error(read);
    target = *std::move(read);
    return {};
  };
  auth.user = text("user");
  auth.access_key = text("access_key");
  auth.endpoint = text("endpoint");
  if (const std::string region = text("region"); !region.empty()) auth.region = region;
  if (auto read = secret("password_file", auth.password); !read) return forward_error(read);
  if (auto read = secret("token_file", auth.token); !read) return forward_error(read);
  if (auto read = secret("secret_key_file", auth.secret_key); !read) return forward_error(read);
  if (auth.access_key.empty() != auth.secret_key.empty())
    return fail(ErrorCode::invalid_argument, "auth: access_key and secret_key_file belong together");
  return auth;
}

Result<net::HttpRequest> request_for(const std::string& url, const Auth& auth) {
  if (url.starts_with("s3://"))
    return net::s3_request(url, {.endpoint = auth.endpoint,
                                 .region = auth.region,
                                 .key_id = auth.access_key,
                                 .secret = auth.secret_key,
                                 .session_token = {}});
  return net::HttpRequest{
      .url = url, .user = auth.user, .password = auth.password, .bearer = auth.token, .max_redirects = 5};
}

std::string size_text(uint64_t bytes) { return std::format("{:.1f}", double(bytes) / double(1 << 20)); }

Status download_model(const std::string& name, const std::string& url, const ModelSpec& model,
                      const ModuleSpec& module, const fs::path& place, const ModelProgress& progress) {
  auto auth = read_auth(model, module);
  if (!auth) return forward_error(auth);
  auto request = request_for(url, *auth);
  if (!request) return forward_error(request);
  // No limit on the whole: models are large. A server that says nothing is given up.
  net::HttpClient client({.connect_timeout = std::chrono::seconds(10),
                          .total_timeout = std::chrono::milliseconds(0),
                          .stall_timeout = std::chrono::seconds(30)});
  const std::string shown = masked_url(url);
  net::DownloadOptions options;
  options.check = [&](const fs::path& part) {
    progress({.step = std::format("checking model {}", name), .done = 1, .remaining = 0});
    return check_sum(part, model.sha256, shown);
  };
  options.on_progress = [&](const net::DownloadProgress& now) {
    Progress told{.step = std::format("downloading model {}: {}", name, size_text(now.bytes)),
                  .bytes = now.bytes,
                  .total_bytes = now.total};
    if (now.total) {
      told.step += std::format(" of {}", size_text(now.total));
      told.done = double(now.bytes) / double(now.total);
      if (now.rate > 0) told.remaining = Time(double(now.total - now.bytes) / now.rate * 1e9);
    }
    told.step += " MiB";
    progress(told);
  };
  progress({.step = std::format("downloading model {}", name)});
  return net::download(client, *std::move(request), place, options);
}

}  // namespace

fs::path downloads_folder(const ModuleSpec& module) {
  if (module.storage.downloads.empty()) return cache_dir() / "downloads";
  return fs::path(module.folder) / module.storage.downloads;
}

Result<fs::path> fetch_model(const std::string& name, const ModelSpec& model, const ModuleSpec& module,
                             bool may_fetch, const ModelProgress& progress) {
  const auto with_name = [&](Error error) {
    error.message = std::format("models.{}: {}", name, error.message);
    return std::unexpected(std::move(error));
  };
  const std::string shown = masked_url(model.url);
  if (model.sha256.size() != 64)
    return fail(ErrorCode::invalid_argument, "models.{}: {}: a url needs the file's checksum: sha256", name,
                shown);
  const auto url = net::parse_url(model.url);
  if (!url) return with_name(url.error());
  auto path = net::percent_decoded(url->path);
  if (!path) return with_name(path.error());
  if (url->scheme == "file") {
    const fs::path file = fs::path(module.folder) / *path;
    if (auto good = check_sum(file, model.sha256, file.string()); !good) return with_name(good.error());
    return file;
  }
  if (url->scheme != "http" && url->scheme != "https" && url->scheme != "s3")
    return fail(ErrorCode::invalid_argument, "models.{}: {}: expects file://, http://, https:// or s3://",
                name, shown);
  // The ending says what kind of model it is; nothing else of the name matters.
  const std::string file_name = fs::path(*path).filename().string();
  if (file_name.empty() || file_name == "." || file_name == "..")
    return fail(ErrorCode::invalid_argument, "models.{}: {}: names no file", name, shown);
  const fs::path place = downloads_folder(module) / lower(model.sha256).substr(0, 16) / file_name;
  std::error_code error;
  if (fs::exists(place, error)) {
    progress({.step = std::format("checking model {}", name), .done = 1, .remaining = 0});
    if (check_sum(place, model.sha256, place.string())) return place;
    // Whatever has become of it, the original is still where it was.
    if (!may_fetch || !fs::remove(place, error))
      return fail(ErrorCode::corrupt, "models.{}: {} is damaged; remove it", name, place.string());
  }
  if (!may_fetch)
    return fail(ErrorCode::not_found, "models.{}: {} has not been fetched yet; `sightglass run` does that",
                name, shown);
  if (auto done = download_model(name, model.url, model, module, place, progress); !done)
    return with_name(done.error());
  return place;
}

}  // namespace sightglass::module
