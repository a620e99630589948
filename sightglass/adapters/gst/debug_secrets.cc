#include "sightglass/adapters/gst/debug_secrets.h"

#include <gst/gst.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "sightglass/core/masked_url.h"

namespace sightglass::adapters {
namespace {

struct Secrets {
  std::mutex mutex;
  std::vector<std::string> words;
  std::FILE* file = nullptr;
};
Secrets& secrets() {
  static auto* const all = new Secrets;  // messages may come until the very end
  return *all;
}

void print(GstDebugCategory* category, GstDebugLevel level, const char* file, const char* function, int line,
           GObject* object, GstDebugMessage* message, gpointer) {
  if (level > gst_debug_category_get_threshold(category)) return;
  char* made = gst_debug_log_get_line(category, level, file, function, line, object, message);
  std::string text = made;
  g_free(made);
  Secrets& all = secrets();
  const std::lock_guard lock(all.mutex);
  for (const std::string& word : all.words)
    for (size_t at = text.find(word); at != text.npos; at = text.find(word, at + 3))
      text.replace(at, word.size(), "***");
  std::fputs(text.c_str(), all.file);
}

}  // namespace

void hide_in_debug_output(const StreamUrl& url) {
  if (!gst_debug_is_active()) return;
  Secrets& all = secrets();
  const std::lock_guard lock(all.mutex);
  const auto add = [&](std::string word) {
    if (!word.empty() && !std::ranges::contains(all.words, word)) all.words.push_back(std::move(word));
  };
  if (!url.password.empty()) {
    const std::string pair = url.user + ":" + url.password;
    char* encoded = g_base64_encode(reinterpret_cast<const guchar*>(pair.data()), pair.size());
    add(encoded);
    g_free(encoded);
    add(url.password);
  }
  if (url.plain() != url.shown()) add(url.plain().substr(url.plain().find('?') + 1));
  // The longest first, so that none is left in parts.
  std::ranges::sort(all.words, std::greater(), &std::string::size);
  if (all.file) return;
  const char* name = std::getenv("GST_DEBUG_FILE");
  if (name && std::string_view(name) != "-") all.file = std::fopen(name, "a");
  if (!all.file) all.file = stderr;
  (gst_debug_remove_log_function)(gst_debug_log_default);
  (gst_debug_add_log_function)(print, nullptr, nullptr);
}

}  // namespace sightglass::adapters
