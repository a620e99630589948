// What gst-inspect-1.0 shows of each element against its descriptor.
#include "sightglass/gst/properties.h"

#include <gst/gst.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cfloat>
#include <sstream>

#include "sightglass/bins/aggregate_params.h"
#include "sightglass/bins/bin.h"
#include "sightglass/core/registry.h"

namespace sightglass::gst {
namespace {

// The words of a text, one space between.
std::string words(const std::string& text) {
  std::istringstream stream(text);
  std::string all;
  for (std::string word; stream >> word;) all += (all.empty() ? "" : " ") + word;
  return all;
}

std::string number(double value) {
  gchar text[64];
  g_snprintf(text, sizeof text, "%15.7g", value);
  return words(text);
}

// As GStreamer writes lists.
std::string list_default(const ParamDesc& desc) {
  GValue value = G_VALUE_INIT;
  g_value_init(&value, GST_TYPE_ARRAY);
  to_gvalue(desc, desc.default_value, &value);
  gchar* text = gst_value_serialize(&value);
  g_value_unset(&value);
  const std::string all = std::string("Default: \"") + (text ? text : "") + "\" ";
  g_free(text);
  return all;
}

// What gst-inspect-1.0 has to say of the parameter, without its flags.
std::string expected(const ParamDesc& desc, const std::string& element) {
  const auto integer = [&] { return std::to_string(std::get<int64_t>(desc.default_value)); };
  const auto limit = [](double value) { return std::to_string(int64_t(value)); };
  const auto range = [&](const std::string& type, const std::string& least, const std::string& most,
                         const std::string& value) {
    return type + ". Range: " + least + " - " + most + " Default: " + value;
  };
  switch (desc.type) {
    case ParamType::boolean:
      return std::string("Boolean. Default: ") + (std::get<bool>(desc.default_value) ? "true" : "false");
    case ParamType::integer:
      return range("Integer", limit(desc.min), limit(desc.max), integer());
    case ParamType::unsigned_integer:
      return range("Unsigned Integer", limit(desc.min), limit(desc.max), integer());
    case ParamType::integer64: {
      const auto least = desc.min <= double(G_MININT64) ? std::to_string(G_MININT64) : limit(desc.min);
      const auto most = desc.max >= double(G_MAXINT64) ? std::to_string(G_MAXINT64) : limit(desc.max);
      return range("Integer64", least, most, integer());
    }
    case ParamType::number32:
      return range("Float", number(std::max(desc.min, -double(FLT_MAX))),
                   number(std::min(desc.max, double(FLT_MAX))), number(std::get<double>(desc.default_value)));
    case ParamType::number:
      return range("Double", number(desc.min), number(desc.max),
                   number(std::get<double>(desc.default_value)));
    case ParamType::text: {
      const auto& text = std::get<std::string>(desc.default_value);
      return "String. Default: \"" + words(text) + "\"";
    }
    case ParamType::choice: {
      std::string name = "SgEnum_" + element + "_" + desc.name, listed, nick;
      std::ranges::replace(name, '-', '_');
      const auto value = std::get<int64_t>(desc.default_value);
      for (size_t i = 0; i < desc.choice_names.size(); ++i) {
        listed += " (" + std::to_string(desc.choice_value(i)) + "): " + desc.choice_names[i] + " - " +
                  desc.choice_names[i];
        if (desc.choice_value(i) == value) nick = desc.choice_names[i];
      }
      return "Enum \"" + name + "\" Default: " + std::to_string(value) + ", \"" + nick + "\"" + listed;
    }
    case ParamType::integers:
      return list_default(desc) + "GstValueArray of GValues of type \"gint64\"";
    case ParamType::numbers:
      return list_default(desc) + "GstValueArray of GValues of type \"gdouble\"";
    case ParamType::texts:
      return list_default(desc) + "GstValueArray of GValues of type \"gchararray\"";
    case ParamType::fraction: {
      const auto value = std::get<Fraction>(desc.default_value);
      return "Fraction. Range: 0/1 - " + std::string(desc.max <= 1 ? "1/1" : "2147483647/1") +
             " Default: " + std::to_string(value.num) + "/" + std::to_string(value.den);
    }
  }
  return "?";
}

std::string flags(const ParamDesc& desc) {
  if (desc.is_readable_only) return "flags: readable";
  if (desc.is_live) return "flags: readable, writable, changeable in NULL, READY, PAUSED or PLAYING state";
  return "flags: readable, writable, changeable only in NULL or READY state";
}

std::string inspected(const std::string& element) {
  const char* command[] = {"gst-inspect-1.0", "--no-colors", element.c_str(), nullptr};
  gchar* text = nullptr;
  gint status = 0;
  if (!g_spawn_sync(nullptr, const_cast<gchar**>(command), nullptr, G_SPAWN_SEARCH_PATH, nullptr, nullptr,
                    &text, nullptr, &status, nullptr))
    return "gst-inspect-1.0 does not run";
  std::string all = words(text ? text : "");
  g_free(text);
  return all;
}

void check(const std::string& element, const ParamTable& table) {
  SCOPED_TRACE(element);
  const std::string shown = inspected(element);
  ASSERT_NE(shown.find("Element Properties"), std::string::npos) << shown.substr(0, 300);
  for (const ParamDesc& desc : table.params) {
    EXPECT_FALSE(desc.doc.empty()) << desc.name;
    const std::string doc = desc.unit.empty() ? desc.doc : desc.doc + " [" + desc.unit + "]";
    // Names are padded to 20 characters.
    const std::string name = desc.name + (desc.name.size() < 20 ? " : " : ": ");
    const std::string wanted = words(name + doc + " " + flags(desc) + " " + expected(desc, element));
    EXPECT_NE(shown.find(" " + wanted), std::string::npos)
        << wanted << "\n  shown: " << shown.substr(std::min(shown.size(), shown.find(" " + name)), 400);
  }
}

TEST(Properties, OfEveryElementAreAsItsDescriptorSays) {
  gst_init(nullptr, nullptr);
  int count = 0;
  for (const ElementDesc* desc : all_elements()) {
    if (desc->kind != ElementKind::transform && desc->kind != ElementKind::transform_inplace) continue;
    check(desc->name, desc->params);
    ++count;
  }
  EXPECT_GT(count, 20);
}

TEST(Properties, OfEveryBinAreAsItsDescriptorSays) {
  gst_init(nullptr, nullptr);
  for (const BinDesc* desc : all_bins()) check(desc->name, desc->params);
}

TEST(Properties, OfTheElementsThatAreGStreamersAreThoseOfTheReference) {
  gst_init(nullptr, nullptr);
  check("meta_aggregate", aggregate_params());
  check("gvametaaggregate", aggregate_params());
  const std::string batch = inspected("batch_create");
  for (const char* wanted : {"Integer. Range: 0 - 1024 Default: 1",
                             "Integer. Range: -1 - 2147483647 Default: -1", " shared-instance-id : "})
    EXPECT_NE(batch.find(wanted), std::string::npos) << wanted;
  EXPECT_NE(inspected("batch_split").find("other/tensors(ANY)"), std::string::npos);
  EXPECT_NE(inspected("processbin").find(" aggregate-queue-size: "), std::string::npos);
}

}  // namespace
}  // namespace sightglass::gst
