#include "sightglass/model/store.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include <gmock/gmock.h>

#include "sightglass/model/sha256.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// A cache, a data folder with a converter that only copies, and clients that make their packages from the
// folder `packed`.
class Store : public testing::Test {
 protected:
  Store() : folder_(fs::path(testing::TempDir()) / ("store_" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    for (const char* name : {"data/models", "data/tfjs", "packed/package/some"})
      fs::create_directories(folder_ / name);
    set("SIGHTGLASS_CACHE", folder_ / "cache");
    set("SIGHTGLASS_DATA_DIR", folder_ / "data");
    set("SIGHTGLASS_NPM", folder_ / "npm");
    set("SIGHTGLASS_APT_GET", folder_ / "apt-get");
    npm("echo \"$*\" >> ../../calls\ntar -C ../../../packed -czf pack-1.0.0.tgz package");
    write("data/tfjs/tfjs_to_onnx.py",
          "import sys\nopen(sys.argv[2], 'w').write('onnx ' + open(sys.argv[1]).read() + ' "
          "'.join(sys.argv[4:]))\n");
  }
  ~Store() override {
    for (const auto& [name, value] : before_) value ? setenv(name, value->c_str(), 1) : unsetenv(name);
    fs::remove_all(folder_);
  }

  void set(const char* name, const std::string& value) {
    const char* old = std::getenv(name);
    before_.emplace_back(name, old ? std::optional<std::string>(old) : std::nullopt);
    setenv(name, value.c_str(), 1);
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }
  std::string read(const std::string& name) const {
    std::ifstream file(folder_ / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void program(const std::string& name, const std::string& body) const {
    write(name, "#!/bin/sh\nset -e\n" + body + "\n");
    fs::permissions(folder_ / name, fs::perms::owner_all);
  }
  void npm(const std::string& body) const { program("npm", body); }
  size_t downloads() const {
    const std::string calls = read("cache/calls");
    return size_t(std::ranges::count(calls, '\n'));
  }

  // A file of the package, and how the manifest writes it.
  ManifestFile packed(const std::string& name, const std::string& content) const {
    write("packed/package/some/" + name, content);
    return {"some/" + name, sha256(content), name};
  }
  Manifest media(std::vector<ManifestFile> files) const {
    Manifest manifest;
    manifest.name = "clips";
    manifest.kind = ManifestKind::media;
    manifest.package = {PackageName::Registry::npm, "pack", "1.0.0"};
    manifest.files = std::move(files);
    return manifest;
  }
  Manifest model(const std::string& name) const {
    Manifest manifest = media({packed(name + ".json", "graph of " + name), packed(name + ".bin", "weights")});
    manifest.name = name;
    manifest.kind = ManifestKind::model;
    manifest.convert = TfjsConversion{"some/" + name + ".json", {"x", "y"}};
    manifest.description = "{sightglass_model: 1}\n";
    return manifest;
  }
  static std::vector<std::string> errors(std::vector<Manifest> manifests) {
    std::vector<std::string> messages;
    for (const Error& error : fetch(manifests)) messages.push_back(error.message);
    return messages;
  }
  std::vector<std::string> left_over() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_ / "cache"))
      if (entry.path().filename().string().starts_with(".fetch-")) names.push_back(entry.path());
    return names;
  }

  fs::path folder_;
  std::vector<std::pair<const char*, std::optional<std::string>>> before_;
};

TEST_F(Store, FetchesFilesOnceAndLeavesThemAloneAfterwards) {
  const Manifest manifest = media({packed("a.avi", "video"), packed("b.avi", "other")});
  EXPECT_FALSE(is_stored(manifest));
  EXPECT_THAT(errors({manifest}), IsEmpty());
  EXPECT_TRUE(is_stored(manifest));
  EXPECT_EQ(read("cache/media/a.avi"), "video");
  EXPECT_EQ(read("cache/media/b.avi"), "other");
  EXPECT_THAT(read("cache/calls"), HasSubstr("pack --ignore-scripts"));
  EXPECT_THAT(read("cache/calls"), HasSubstr("pack@1.0.0\n"));
  EXPECT_THAT(left_over(), IsEmpty());

  npm("exit 1");  // offline
  EXPECT_THAT(errors({manifest}), IsEmpty());
  EXPECT_EQ(downloads(), 1u);
}

TEST_F(Store, ConvertsModelsAndDownloadsTheirPackageOnce) {
  EXPECT_THAT(errors({model("one"), model("two")}), IsEmpty());
  EXPECT_EQ(downloads(), 1u);
  EXPECT_EQ(read("cache/models/one.onnx"), "onnx graph of onex y");
  EXPECT_THAT(read("cache/models/two.sightglass.yaml"), HasSubstr("manifest two.\n{sightglass_model: 1}\n"));
}

TEST_F(Store, ANewDescriptionOrConverterNeedsNoNetwork) {
  Manifest manifest = model("one");
  EXPECT_THAT(errors({manifest}), IsEmpty());
  npm("exit 1");
  manifest.description = "{sightglass_model: 1, name: new}\n";
  EXPECT_FALSE(is_stored(manifest));
  EXPECT_THAT(errors({manifest}), IsEmpty());
  EXPECT_THAT(read("cache/models/one.sightglass.yaml"), HasSubstr("name: new"));

  write("data/tfjs/tfjs_to_onnx.py", "import sys\nopen(sys.argv[2], 'w').write('better')\n");
  EXPECT_FALSE(is_stored(manifest));
  EXPECT_THAT(errors({manifest}), IsEmpty());
  EXPECT_EQ(read("cache/models/one.onnx"), "better");
}

TEST_F(Store, NamesBothSumsWhenTheyDiffer) {
  ManifestFile file = packed("a.avi", "video");
  packed("a.avi", "something else");
  EXPECT_THAT(errors({media({file})}),
              ElementsAre("clips: some/a.avi of npm pack@1.0.0 has the wrong checksum: it is " +
                          sha256("something else") + ", the manifest says " + sha256("video")));
  EXPECT_FALSE(fs::exists(folder_ / "cache/media/a.avi"));
  EXPECT_THAT(left_over(), IsEmpty());
}

TEST_F(Store, SaysInOneLineWhatFailed) {
  const Manifest manifest =
      media({packed("a.avi", "video"), {"some/missing.avi", std::string(64, '0'), "missing.avi"}});
  EXPECT_THAT(errors({manifest}),
              ElementsAre("clips: npm pack@1.0.0: no file some/missing.avi came out of the package: "
                          "tar: */some/missing.avi: Not found in archive"));
  npm("echo 'npm error code ENOTFOUND'; echo 'npm error request failed, reason: getaddrinfo ENOTFOUND host'; "
      "exit 1");
  EXPECT_THAT(
      errors({manifest}),
      ElementsAre("clips: npm could not download pack@1.0.0: npm error request failed, reason: getaddrinfo "
                  "ENOTFOUND host; is the network reachable?"));
  npm("echo \"npm is not installed; 'need npm' installs it\" >&2; exit 127");
  EXPECT_THAT(
      errors({manifest}),
      ElementsAre("clips: npm package pack@1.0.0 is needed: npm is not installed; 'need npm' installs it"));
  fs::remove(folder_ / "npm");
  EXPECT_THAT(errors({manifest}), ElementsAre(testing::EndsWith("npm is not installed")));
  npm(": > pack-1.0.0.tgz");
  EXPECT_THAT(errors({manifest}), ElementsAre(HasSubstr("no file some/a.avi came out of the package")));
}

TEST_F(Store, GoesOnAfterAFailure) {
  Manifest broken = media({{"some/none", std::string(64, '0'), "none"}});
  broken.name = "broken";
  broken.package.name = "other";
  EXPECT_THAT(errors({broken, model("one")}), SizeIs(1));
  EXPECT_TRUE(fs::exists(folder_ / "cache/models/one.onnx"));
}

TEST_F(Store, AFailedConversionSaysWhyAndStoresNothing) {
  write("data/tfjs/tfjs_to_onnx.py", "import sys\nsys.exit('error: op Odd (node n) is not supported')\n");
  EXPECT_THAT(errors({model("one")}),
              ElementsAre(HasSubstr("one.json cannot be converted: op Odd (node n) is not supported")));
  EXPECT_FALSE(fs::exists(folder_ / "cache/models/one.onnx"));
}

TEST_F(Store, TwoAtOnceDownloadOnce) {
  const std::vector<Manifest> manifests = {model("one")};
  std::vector<Error> first, second;
  {
    std::jthread a([&] { first = fetch(manifests); });
    std::jthread b([&] { second = fetch(manifests); });
  }
  EXPECT_THAT(first, IsEmpty());
  EXPECT_THAT(second, IsEmpty());
  EXPECT_EQ(downloads(), 1u);
  EXPECT_TRUE(is_stored(manifests[0]));
}

TEST_F(Store, ClearsUpAfterAFetchThatWasKilled) {
  fs::create_directories(folder_ / "cache/.fetch-killed/0");
  EXPECT_THAT(errors({model("one")}), IsEmpty());
  EXPECT_THAT(left_over(), IsEmpty());
}

TEST_F(Store, AReadOnlyCacheIsOneClearLine) {
  write("file", "");
  set("SIGHTGLASS_CACHE", folder_ / "file/cache");
  EXPECT_THAT(errors({model("one")}),
              ElementsAre(HasSubstr("file/cache: cannot be created: Not a directory")));
}

TEST_F(Store, TakesFilesFromDebianPackages) {
  fs::create_directories(folder_ / "deb/DEBIAN");
  fs::create_directories(folder_ / "deb/usr/share/doc");
  write("deb/DEBIAN/control",
        "Package: doc\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: d\n");
  write("deb/usr/share/doc/v.avi", "video");
  const std::string build = "dpkg-deb --build --root-owner-group ../../../deb doc_1_all.deb >/dev/null";
  Manifest manifest = media({{"usr/share/doc/v.avi", sha256("video"), "v.avi"}});
  manifest.package = {PackageName::Registry::debian, "doc", ""};

  program("apt-get", "echo 'E: Unable to locate package doc'; exit 100");
  EXPECT_THAT(errors({manifest}),
              ElementsAre(HasSubstr(
                  "apt-get could not download doc: E: Unable to locate package doc; is the network")));
  program("apt-get", build);
  EXPECT_THAT(errors({manifest}), IsEmpty());
  EXPECT_EQ(read("cache/media/v.avi"), "video");
}

TEST_F(Store, UpdatesTheListsOfPackagesWhereItMay) {
  if (geteuid() != 0) GTEST_SKIP() << "only root may";
  program("apt-get",
          "case \"$*\" in *update) touch ../../updated ;; *) [ -e ../../updated ]; mkdir -p d/DEBIAN; "
          "printf 'Package: doc\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@b>\\nDescription: d\\n' "
          "> d/DEBIAN/control; "
          "echo video > d/v.avi; dpkg-deb --build d doc.deb >/dev/null ;; esac");
  Manifest manifest = media({{"v.avi", sha256("video\n"), "v.avi"}});
  manifest.package = {PackageName::Registry::debian, "doc", ""};
  EXPECT_THAT(errors({manifest}), IsEmpty());
}

TEST_F(Store, ResolvesNamesAndPaths) {
  write("data/models/net.yaml",
        "sightglass_manifest: 1\nname: net\nkind: model\ntitle: t\nlicence: MIT\npackage: {npm: pack, "
        "version: 1.0.0}\n"
        "files: [{path: some/n.onnx, sha256: " +
            packed("n.onnx", "model").sha256 + "}]\n");
  EXPECT_EQ(resolve_model("net").error().message,
            "net is not fetched yet; run `sightglass models fetch net`");
  EXPECT_THAT(errors(*known_manifests()), IsEmpty());
  EXPECT_EQ(*resolve_model("net"), folder_ / "cache/models/net.onnx");
  EXPECT_EQ(*resolve_model((folder_ / "npm").string()), folder_ / "npm");
  EXPECT_THAT(resolve_model("nett").error().message,
              HasSubstr("nett: no such file, nor a known name; did you mean 'net'?"));
  EXPECT_EQ(resolve_model("a/b.onnx").error().message, "a/b.onnx: no such file");
  EXPECT_THAT(resolve_media("net").error().message, HasSubstr("no such file"));
}

TEST_F(Store, NothingForThisMachineIsNoFault) { EXPECT_THAT(errors({media({})}), IsEmpty()); }

}  // namespace
}  // namespace sightglass
