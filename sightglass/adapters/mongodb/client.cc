#include "sightglass/adapters/mongodb/client.h"

#include <sys/mman.h>
#include <unistd.h>

#include <format>
#include <fstream>
#include <iterator>
#include <mutex>

#include "sightglass/core/masked_url.h"

namespace sightglass::adapters {
namespace {

void prepare_library() {
  static std::once_flag once;
  std::call_once(once, [] {
    mongoc_init();
    // What is wrong comes as errors.
    mongoc_log_set_handler([](mongoc_log_level_t, const char*, const char*, void*) {}, nullptr);
  });
}

// libmongoc wants certificate and key in one file: both in memory, under a name that lasts with `file`.
Result<std::string> joined(const std::string& cert, const std::string& key, int& file) {
  file = memfd_create("client.pem", MFD_CLOEXEC);
  if (file < 0) return fail(ErrorCode::io, "no memory for the client's certificate");
  for (const std::string& name : {cert, key}) {
    std::ifstream in(name, std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(in), {});
    if (!in || text.empty()) return fail(ErrorCode::not_found, "{}: cannot be read or is empty", name);
    if (::write(file, text.data(), text.size()) != ssize_t(text.size()))
      return fail(ErrorCode::io, "no memory for the client's certificate");
  }
  return std::format("/proc/self/fd/{}", file);
}

}  // namespace

Error to_error(const bson_error_t& error, const std::string& what) {
  ErrorCode code = ErrorCode::io;
  if (error.domain == MONGOC_ERROR_SERVER_SELECTION || error.domain == MONGOC_ERROR_STREAM)
    code = ErrorCode::unavailable;
  else if (error.domain == MONGOC_ERROR_BSON)
    code = ErrorCode::invalid_argument;
  return {code, std::format("{}: {}", what, error.message), {}, {}};
}

Result<MongoClient> make_mongo_client(const MongodbParams& params, const std::string& folder,
                                      const std::string& where) {
  prepare_library();
  bson_error_t error;
  const MongoUri uri(mongoc_uri_new_with_error(params.url.c_str(), &error));
  if (!uri)
    return fail(ErrorCode::invalid_argument, "{}: url: '{}' is no address of MongoDB: {}", where,
                masked_url(params.url),
                params.url.contains('@') ? "a part of it is written wrongly" : error.message);
  if (mongoc_uri_get_password(uri.get()))
    return fail(ErrorCode::invalid_argument,
                "{}: url: no password stands there; password-file names a file with it", where);
  if (!params.user.empty() && !mongoc_uri_set_username(uri.get(), params.user.c_str()))
    return fail(ErrorCode::invalid_argument, "{}: user: '{}' is none", where, params.user);
  if (!params.password_file.empty()) {
    const auto password = read_secret(folder, params.password_file, where + ": password-file");
    if (!password) return std::unexpected(password.error());
    if (!mongoc_uri_set_password(uri.get(), password->c_str()))
      return fail(ErrorCode::invalid_argument, "{}: password-file: holds no password in UTF-8", where);
  }
  if (!params.auth_source.empty()) mongoc_uri_set_auth_source(uri.get(), params.auth_source.c_str());
  const auto set_default = [&](const char* option, int value) {
    if (!mongoc_uri_has_option(uri.get(), option)) mongoc_uri_set_option_as_int32(uri.get(), option, value);
  };
  const int timeout = int(params.timeout * 1000);
  set_default(MONGOC_URI_SERVERSELECTIONTIMEOUTMS, std::min(timeout, 5000));
  set_default(MONGOC_URI_CONNECTTIMEOUTMS, std::min(timeout, 5000));
  set_default(MONGOC_URI_SOCKETTIMEOUTMS, timeout);
  if (!mongoc_uri_has_option(uri.get(), MONGOC_URI_RETRYWRITES))
    mongoc_uri_set_option_as_bool(uri.get(), MONGOC_URI_RETRYWRITES, true);
  mongoc_uri_set_appname(uri.get(), "sightglass");

  const bool has_tls = !params.tls_ca.empty() || !params.tls_cert.empty() || !params.tls_verify;
  if (has_tls) mongoc_uri_set_option_as_bool(uri.get(), MONGOC_URI_TLS, true);
  if (!params.tls_server_name.empty())
    return fail(ErrorCode::unsupported, "{}: tls.server_name: libmongoc checks the name in the url, no other",
                where);
  MongoClient client(mongoc_client_new_from_uri_with_error(uri.get(), &error));
  if (!client) return fail(ErrorCode::invalid_argument, "{}: {}", where, error.message);
  if (mongoc_uri_get_tls(uri.get()) && has_tls) {
    mongoc_ssl_opt_t options = *mongoc_ssl_opt_get_default();
    const std::string ca = path_from(folder, params.tls_ca);
    std::string pem = path_from(folder, params.tls_cert);
    if (!ca.empty()) options.ca_file = ca.c_str();
    int file = -1;
    if (!pem.empty() && !params.tls_key.empty()) {
      auto both = joined(pem, path_from(folder, params.tls_key), file);
      if (!both) return forward_error(both);
      pem = std::move(*both);
    }
    if (!pem.empty()) options.pem_file = pem.c_str();
    if (!params.tls_verify) options.weak_cert_validation = options.allow_invalid_hostname = true;
    mongoc_client_set_ssl_opts(client.get(), &options);
    // The file is read when a connection is made, so it stays open for as long as the process has it.
  }
  mongoc_client_set_error_api(client.get(), MONGOC_ERROR_API_VERSION_2);
  return client;
}

}  // namespace sightglass::adapters
