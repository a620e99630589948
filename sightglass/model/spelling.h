// The nearest known name to one that is not known, for messages.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace sightglass {

// "; did you mean 'stretch'?", or empty text when nothing is near. Case, '_' and '-' count as alike.
std::string did_you_mean(std::string_view word, std::span<const std::string> known);
std::string did_you_mean(std::string_view word, std::span<const std::string_view> known);

// "a, b, c"
std::string joined(std::span<const std::string> words, std::string_view separator = ", ");
std::string joined(std::span<const std::string_view> words, std::string_view separator = ", ");

}  // namespace sightglass
