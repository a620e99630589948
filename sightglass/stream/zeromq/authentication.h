// Who may connect: CURVE keys, and the answer to ZeroMQ's question (ZAP, RFC 27) whether a client's key is
// known.
//
// The side with `server_key` empty is the server; it usually binds. It takes the clients whose public keys
// lie in `allowed_keys_dir`, one file each, and reads the folder again at every handshake, so that adding or
// removing a file is all there is to do; connections that stand are not cut. Without the folder whoever has
// the server's public key may connect. A client names that key and has a secret one of its own.
//
// A key file has one key in Z85 text, 40 characters (`curve_keygen` makes pairs). Secrets never appear in an
// error.
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "sightglass/core/result.h"

namespace sightglass::stream {

struct CurveOptions {
  std::string secret_key_file;   // of this side
  std::string server_key;        // client: the server's public key, Z85
  std::string allowed_keys_dir;  // server: public keys of clients

  bool enabled() const {
    return !secret_key_file.empty() || !server_key.empty() || !allowed_keys_dir.empty();
  }
  bool server() const { return server_key.empty(); }
};

// The first key in a file; `option` is named in the error.
Result<std::string> read_key_file(const std::filesystem::path& file, std::string_view option);
// Whether one of the files in the folder holds this public key (Z85). Reads at most 10,000 files.
bool key_is_allowed(const std::filesystem::path& folder, std::string_view public_key);

// Answers for all sockets of one ZeroMQ context, in a thread that lives from the first admit() to the end.
class Authenticator {
 public:
  explicit Authenticator(void* context);
  ~Authenticator();  // the context's sockets may be closed before or after
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  // Only clients with a key in `folder` get into sockets of this ZAP domain. Thread-safe.
  Status admit(const std::string& domain, const std::filesystem::path& folder);
  void forget(const std::string& domain);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sightglass::stream
