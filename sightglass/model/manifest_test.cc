#include "sightglass/model/manifest.h"

#include <cstdlib>
#include <filesystem>
#include <set>

#include <gmock/gmock.h>

#include "sightglass/model/store.h"

namespace sightglass {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

const std::string sum(64, 'a');

// A good manifest with one line replaced (or, for an empty key, as it is).
std::string manifest(const std::string& key = "", const std::string& line = "") {
  const std::pair<const char*, std::string> lines[] = {
      {"sightglass_manifest", "sightglass_manifest: 1"},
      {"name", "name: net"},
      {"kind", "kind: model"},
      {"title", "title: a net"},
      {"licence", "licence: MIT"},
      {"package", "package: {npm: \"@scope/pack\", version: 1.2.3}"},
      {"files", "files: [{path: a/net.onnx, sha256: " + sum + "}]"}};
  std::string text;
  for (const auto& [name, usual] : lines) text += (key == name ? line : usual) + "\n";
  if (key == "more") text += line + "\n";
  return text;
}
std::string message(const std::string& key, const std::string& line) {
  auto read = parse_manifest(manifest(key, line), "net.yaml");
  return read ? "read without an error" : read.error().message;
}

TEST(Manifest, ReadsAll) {
  auto read = parse_manifest(
      manifest("more",
               "convert: {tfjs: a/net.onnx, outputs: [x, y]}\ndescription: {sightglass_model: 1, name: net}"),
      "folder/net.yaml");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->name, "net");
  EXPECT_EQ(read->kind, ManifestKind::model);
  EXPECT_EQ(read->package.to_string(), "npm @scope/pack@1.2.3");
  ASSERT_THAT(read->files, SizeIs(1));
  EXPECT_EQ(read->files[0].name, "net.onnx");
  EXPECT_EQ(read->convert->outputs, (std::vector<std::string>{"x", "y"}));
  EXPECT_THAT(read->description, HasSubstr("name: net"));
}

TEST(Manifest, KeepsFilesOfOtherMachinesOut) {
  auto read = parse_manifest(manifest("files", "files: [{path: a, sha256: " + sum +
                                                   ", arch: pdp11}, {path: b, as: c, sha256: " + sum + "}]"),
                             "net.yaml");
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_THAT(read->files, SizeIs(1));
  EXPECT_EQ(read->files[0].name, "c");
}

TEST(Manifest, SaysWhatIsWrongAndWhere) {
  EXPECT_THAT(message("sightglass_manifest", "sightglass_manifest: 2"),
              HasSubstr("net.yaml:1:22: sightglass_manifest: version 2"));
  EXPECT_THAT(message("name", "name: other"), HasSubstr("name: 'other' is not the name of this file"));
  EXPECT_THAT(message("kind", "kind: video"),
              HasSubstr("kind: unknown value 'video'; known are model, media, engine"));
  EXPECT_THAT(message("licence", ""), HasSubstr("licence is missing"));
  EXPECT_THAT(message("licence", "license: MIT"),
              HasSubstr("unknown key 'license'; did you mean 'licence'?"));
  EXPECT_THAT(message("files", ""), HasSubstr("files is missing"));
  EXPECT_THAT(message("files", "files: [{path: a, sha256: abc}]"),
              HasSubstr("files[0].sha256: expects 64 hexadecimal digits"));
  EXPECT_THAT(message("files", "files: [{sha256: " + sum + "}]"), HasSubstr("files[0].path is missing"));
  EXPECT_THAT(message("package", "package: {npm: a, debian: b}"), HasSubstr("expects one of npm and debian"));
  EXPECT_THAT(message("package", "package: {npm: a}"), HasSubstr("package.version is missing"));
  EXPECT_THAT(message("more", "convert: {tfjs: other.json}"),
              HasSubstr("convert.tfjs: is not one of the files"));
  EXPECT_THAT(message("more", "description: {sightglass_model: 1, inputs: []}"),
              HasSubstr("net.yaml:8:36: unknown key 'inputs'; did you mean 'input'?"));
  EXPECT_THAT(message("files", "files: [{path: a, sha256: " + sum + "}, {path: b, sha256: " + sum + "}]"),
              HasSubstr("a model is one file, with lists of labels (.txt), or is converted to one"));
}

TEST(Manifest, AModelMayHaveItsLabelsBesideIt) {
  const std::string files =
      "files: [{path: a/net.onnx, sha256: " + sum + "}, {path: a/keys.txt, sha256: " + sum + "}]";
  auto read = parse_manifest(manifest("files", files), "net.yaml");
  ASSERT_TRUE(read) << read.error().message;
  const auto paths = stored_paths(*read);
  ASSERT_THAT(paths, SizeIs(2));
  EXPECT_EQ(paths[0].filename(), "net.onnx");
  EXPECT_EQ(paths[1].filename(), "net.txt");
}

TEST(Manifest, LetsNothingOutOfItsFolders) {
  for (const char* path : {"../a", "/etc/passwd", "a/../../b", "a*", "\"\"", "\"a\\nb\""})
    EXPECT_THAT(message("files", "files: [{path: " + std::string(path) + ", sha256: " + sum + "}]"),
                HasSubstr("files[0].path: expects"))
        << path;
  for (const char* name : {"../a", ".hidden", "a/b"})
    EXPECT_THAT(message("files", "files: [{path: a, as: " + std::string(name) + ", sha256: " + sum + "}]"),
                HasSubstr("plain file name"));
  for (const char* name : {"--registry=x", "a b", "../a", "file:a", "http://a"})
    EXPECT_THAT(message("package", "package: {npm: \"" + std::string(name) + "\", version: 1.0.0}"),
                HasSubstr("is not the name of a package"));
  EXPECT_THAT(message("package", "package: {npm: a, version: \"file:/etc\"}"), HasSubstr("is not a version"));
}

TEST(Manifest, ThoseOfTheProjectAreGood) {
  auto manifests = known_manifests();
  ASSERT_TRUE(manifests) << manifests.error().message;
  std::set<std::string> names;
  for (const Manifest& item : *manifests) {
    names.insert(item.name);
    EXPECT_FALSE(item.licence.empty()) << item.name;
    EXPECT_EQ(item.kind == ManifestKind::model, !item.description.empty()) << item.name;
  }
  EXPECT_THAT(names, testing::IsSupersetOf(
                         {"centernet", "face", "faceres", "emotion", "vtest", "faces", "onnxruntime"}));
}

TEST(Manifest, AFolderThatIsMissingIsAnError) {
  EXPECT_EQ(load_manifests("/no/such/folder").error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace sightglass
