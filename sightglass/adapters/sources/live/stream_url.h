// The URL of a camera or server with its credentials, which nobody gets to see: they come from a file (or
// from a secret parameter of a module as part of the URL), and leave only for the connection.
//
//   auto url = stream_url(params, context);
//   connect(url->plain(), url->user, url->password);   log("{}", url->shown());
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/core/param.h"
#include "sightglass/core/result.h"

namespace sightglass::adapters {

struct UrlParams {
  std::string url, url_file, user, password_file;
};

class StreamUrl {
 public:
  // Errors name no secret.
  static Result<StreamUrl> parse(std::string_view text);

  std::string user, password;
  std::string scheme() const { return scheme_; }                 // in small letters
  std::string host() const;                                      // without port
  std::string plain() const { return scheme_ + "://" + rest_; }  // without user and password
  std::string with_credentials() const;                          // escaped as URLs want it
  std::string shown() const;                                     // for people: nothing secret
 private:
  std::string scheme_, rest_;
};

// Of a source's parameters; the user and password of the files win over those of the URL.
Result<StreamUrl> stream_url(const UrlParams& params, const SourceContext& context);

template <class P>
void add_url_params(std::vector<ParamDesc>& params, std::string_view url_doc) {
  const auto text = [&](std::string_view name, std::string UrlParams::* member, std::string_view doc) {
    params.push_back(param(name, static_cast<std::string P::*>(member), doc));
  };
  text("url", &UrlParams::url, url_doc);
  text("url-file", &UrlParams::url_file, "file whose first line is the URL, where that holds secrets");
  text("user", &UrlParams::user, "who connects");
  text("password-file", &UrlParams::password_file, "file with the password");
}

}  // namespace sightglass::adapters
