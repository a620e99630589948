#include "sightglass/module/parameters.h"
#include "tests/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <vector>

namespace sightglass::module {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using Specs = std::vector<std::pair<std::string, ParameterSpec>>;

ParameterSpec number(double value, double min, double max) {
  ParameterSpec spec{.type = ParameterType::number, .default_value = Value(value), .min = min, .max = max};
  spec.per_source = true;
  return spec;
}

Specs two_numbers() { return {{"min_face", number(0.7, 0.05, 1)}, {"rate", number(5, 0, 100)}}; }

struct Folder {
  std::string file(const std::string& name, const std::string& text) const {
    std::ofstream(path / name) << text;
    return path / name;
  }
  const test::TemporaryFolder temporary{};
  const fs::path path = temporary.path();
};

ParameterOptions quiet() { return {.module_name = "gate", .environment = {{"UNUSED", ""}}}; }

std::unique_ptr<ParameterStore> open(const Specs& specs, ParameterOptions options = quiet()) {
  auto store = ParameterStore::open(specs, std::move(options));
  EXPECT_TRUE(store) << store.error().message;
  return store ? std::move(*store) : nullptr;
}

double value(const ParameterStore& store, std::string_view name, std::string_view source = {}) {
  double found = -1;
  const auto set = store.current();
  const ParameterValue* entry = set->find(name, source);
  return entry && entry->value.number(found) ? found : -1;
}

TEST(Parameters, HaveTheirDefaultsAtFirst) {
  const auto store = open(two_numbers());
  EXPECT_EQ(value(*store, "min_face"), 0.7);
  EXPECT_EQ(value(*store, "min_face", "cam-1"), 0.7);
  EXPECT_EQ(store->current()->revision(), 1u);
  EXPECT_EQ(store->current()->find("no_such", ""), nullptr);
}

TEST(Parameters, HighestLayerCounts) {
  const Folder folder;
  ParameterOptions options = quiet();
  options.environment = {{"SIGHTGLASS_PARAM_MIN_FACE", "0.3"}, {"SIGHTGLASS_PARAM_RATE", "7"}};
  options.file = folder.file("p.yml", "min_face: 0.4\n");
  const auto store = open(two_numbers(), options);
  EXPECT_EQ(value(*store, "min_face"), 0.4);
  EXPECT_EQ(value(*store, "rate"), 7);
  EXPECT_EQ(store->change({{.name = "min_face", .value = Value(0.5)}}, "test").result, ChangeResult::applied);
  EXPECT_EQ(value(*store, "min_face"), 0.5);
  EXPECT_EQ(store->current()->find("min_face", "")->layer, Layer::http);
  // Null uncovers the layer below.
  EXPECT_EQ(store->change({{.name = "min_face", .value = Value()}}, "test").result, ChangeResult::applied);
  EXPECT_EQ(value(*store, "min_face"), 0.4);
}

TEST(Parameters, ValueForASourceBeatsTheModulesOfItsLayerOnly) {
  const Folder folder;
  ParameterOptions options = quiet();
  options.file = folder.file("p.yml", "min_face@cam-1: 0.2\nmin_face: 0.4\n");
  const auto store = open(two_numbers(), options);
  EXPECT_EQ(value(*store, "min_face", "cam-1"), 0.2);
  EXPECT_EQ(value(*store, "min_face", "cam-2"), 0.4);
  (void)store->change({{.name = "min_face", .value = Value(0.9)}}, "test");
  EXPECT_EQ(value(*store, "min_face", "cam-1"), 0.9);
}

TEST(Parameters, ASetIsAllOrNothing) {
  const auto store = open(two_numbers());
  const ChangeOutcome outcome = store->change({{.name = "min_face", .value = Value(0.5)},
                                               {.name = "rate", .value = Value(1000)},
                                               {.name = "rate", .value = Value("x")}},
                                              "test");
  EXPECT_EQ(outcome.result, ChangeResult::invalid);
  EXPECT_EQ(outcome.errors.size(), 2u);
  EXPECT_EQ(value(*store, "min_face"), 0.7);
  EXPECT_EQ(store->current()->revision(), 1u);
}

TEST(Parameters, RefusedByAnElementMakesNoRevision) {
  ParameterOptions options = quiet();
  options.apply = [](const auto&) { return Status(fail(ErrorCode::invalid_argument, "not today")); };
  const auto store = open(two_numbers(), options);
  const ChangeOutcome outcome = store->change({{.name = "rate", .value = Value(6)}}, "test");
  EXPECT_EQ(outcome.result, ChangeResult::failed);
  EXPECT_EQ(outcome.errors[0].message, "not today");
  EXPECT_EQ(value(*store, "rate"), 5);
  EXPECT_EQ(store->revisions().size(), 1u);
}

TEST(Parameters, CheckSeesTheWholeNewSetBeforeAnythingIsTouched) {
  bool applied = false;
  ParameterOptions options = quiet();
  options.check = [](const ParameterSet& set) {
    double rate = 0;
    set.find("rate", "")->value.number(rate);
    return rate == 6 ? std::vector<ParameterError>{{"elements.x.rate", "odd", ""}}
                     : std::vector<ParameterError>{};
  };
  options.apply = [&](const auto&) { return applied = true, Status(); };
  const auto store = open(two_numbers(), options);
  EXPECT_EQ(store->change({{.name = "rate", .value = Value(6)}}, "test").result, ChangeResult::invalid);
  EXPECT_FALSE(applied);
}

TEST(Parameters, DryRunAndWrongRevisionChangeNothing) {
  const auto store = open(two_numbers());
  const ChangeOutcome dry = store->change({{.name = "rate", .value = Value(6)}}, "test", 0, true);
  EXPECT_EQ(dry.result, ChangeResult::applied);
  EXPECT_THAT(dry.changes, ElementsAre("rate: 5.0 → 6.0"));
  EXPECT_EQ(store->change({{.name = "rate", .value = Value(6)}}, "test", 9).result, ChangeResult::conflict);
  EXPECT_EQ(value(*store, "rate"), 5);
}

TEST(Parameters, RestoreBringsBackWhatWasInForce) {
  const auto store = open(two_numbers());
  (void)store->change({{.name = "rate", .value = Value(6)}}, "test");
  (void)store->change({{.name = "rate", .source_id = "cam-1", .value = Value(8)}}, "test");
  const ChangeOutcome outcome = store->restore(1, "test");
  EXPECT_EQ(outcome.result, ChangeResult::applied);
  EXPECT_EQ(outcome.revision, 4u);
  EXPECT_EQ(value(*store, "rate", "cam-1"), 5);
  EXPECT_EQ(store->restore(77, "test").result, ChangeResult::not_found);
}

TEST(Parameters, ThoseSetOverHttpSurviveARestartUnlessToldNotTo) {
  const Folder folder;
  ParameterOptions options = quiet();
  options.state_folder = folder.path;
  {
    const auto store = open(two_numbers(), options);
    (void)store->change({{.name = "rate", .value = Value(6)}}, "test");
    (void)store->change({{.name = "min_face", .value = Value(0.1), .persist = false}}, "test");
  }
  const auto store = open(two_numbers(), options);
  EXPECT_EQ(value(*store, "rate"), 6);
  EXPECT_EQ(value(*store, "min_face"), 0.7);
  // The description has changed meanwhile: what no longer fits is left out and said.
  const auto changed = open({{"rate", number(1, 0, 2)}}, options);
  EXPECT_EQ(value(*changed, "rate"), 1);
  EXPECT_THAT(changed->warnings(), ElementsAre(HasSubstr("6.0 is more than 2")));
}

TEST(Parameters, ReadAtStartOnlyIsRefusedByHand) {
  ParameterOptions options = quiet();
  options.needs_restart = [](std::string_view name) { return name == "rate"; };
  const auto store = open(two_numbers(), options);
  EXPECT_EQ(store->change({{.name = "rate", .value = Value(6)}}, "test").result, ChangeResult::needs_restart);
  EXPECT_EQ(value(*store, "rate"), 5);
}

TEST(Parameters, SecretsAreMasked) {
  ParameterSpec password{.type = ParameterType::text, .default_value = Value("hunter2")};
  password.secret = true;
  password.pattern = "[a-z0-9]+";
  const auto store = open({{"password", password}});
  const ChangeOutcome good = store->change({{.name = "password", .value = Value("swordfish")}}, "test");
  EXPECT_THAT(good.changes, ElementsAre("password: *** → ***"));
  const ChangeOutcome bad = store->change({{.name = "password", .value = Value("SWORD fish")}}, "test");
  EXPECT_THAT(bad.errors[0].message, testing::Not(HasSubstr("SWORD")));
}

TEST(Parameters, WrongTypesAreNamed) {
  ParameterSpec zone{.type = ParameterType::polygon};
  zone.default_value = value_from_json_or_null("[[0,0],[1,0],[1,1]]");
  const auto store = open({{"zone", zone}});
  for (const char* json : {"[[0,0],[1,1]]", "[[0,0],[1,1],[0]]", "\"all\"", "{\"x\":1}"}) {
    const ChangeOutcome outcome =
        store->change({{.name = "zone", .value = value_from_json_or_null(json)}}, "test");
    ASSERT_EQ(outcome.result, ChangeResult::invalid) << json;
    EXPECT_THAT(outcome.errors[0].message, HasSubstr("three or more points"));
  }
}

TEST(Parameters, MissingValuesAreErrorsAtTheStart) {
  const auto store = ParameterStore::open({{"rate", ParameterSpec{.type = ParameterType::number}}}, quiet());
  ASSERT_FALSE(store);
  EXPECT_THAT(store.error().message, HasSubstr("SIGHTGLASS_PARAM_RATE"));
}

// Waits for a change that comes on another thread.
class Applied {
 public:
  ApplySet callback() {
    return [this](std::shared_ptr<const ParameterSet> set) {
      const std::lock_guard lock(mutex_);
      set_ = std::move(set);
      changed_.notify_all();
      return Status();
    };
  }
  bool wait(const std::string& name, double wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] {
      double found = -1;
      return set_ && set_->find(name, "")->value.number(found) && found == wanted;
    });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<const ParameterSet> set_;
};

// Waits until it holds, a minute at most.
void eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 6000 && !holds(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

TEST(Parameters, WatchedFileIsTakenAsAWholeOrNotAtAll) {
  const Folder folder;
  Applied applied;
  ParameterOptions options = quiet();
  options.file = folder.file("p.yml", "rate: 1\nmin_face: 0.5\n");
  options.apply = applied.callback();
  const auto store = open(two_numbers(), options);
  ASSERT_TRUE(store->start_watching());
  folder.file("p.yml", "rate: 2\n");
  ASSERT_TRUE(applied.wait("rate", 2));
  eventually([&] { return value(*store, "rate") == 2; });  // who applies is told before the store shows it
  EXPECT_EQ(value(*store, "min_face"), 0.7);
  folder.file("p.yml", "rate: 3\nmin_face: 7\n");
  eventually([&] { return !store->warnings().empty(); });
  EXPECT_THAT(store->warnings(), ElementsAre(HasSubstr("7.0 is more than 1")));
  EXPECT_EQ(value(*store, "rate"), 2);
  folder.file("p.yml", "rate: 4\n");
  EXPECT_TRUE(applied.wait("rate", 4));
}

}  // namespace
}  // namespace sightglass::module
