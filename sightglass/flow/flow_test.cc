#include "sightglass/flow/flow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <numeric>
#include <thread>

#include "sightglass/flow/flow_test_support.h"

namespace sightglass {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<Time> up_to(size_t count) {
  std::vector<Time> times(count);
  std::iota(times.begin(), times.end(), 0);
  return times;
}

// One more attribute for each frame, as a branch would find it.
Inplace::Do adds_number(const char* name) {
  return [label = Label(name)](Frame& frame) {
    frame.attributes =
        with(frame.attributes, {.name = label, .kind = AttributeKind::number, .number = double(frame.pts)});
    return Verdict::pass;
  };
}

TEST(Flow, FramesLeaveInTheirOrderAndTheEndComesBehindThem) {
  Chain chain;
  chain.source({.frames = 5});
  auto* seen = chain.inplace("a");
  EXPECT_EQ(text_of(chain.run()), "");
  EXPECT_EQ(chain.times, up_to(5));
  EXPECT_EQ(seen->drained, 1);
  EXPECT_FALSE(chain.flow.running());
}

TEST(Flow, OrderIsKeptThroughQueues) {
  Chain chain;
  chain.source({.frames = 500});
  for (const char* size : {"1", "3", "16"}) {
    chain.element("queue", {{"max-size-buffers", size}});
    chain.inplace("a" + std::string(size));
  }
  EXPECT_EQ(text_of(chain.run()), "");
  EXPECT_EQ(chain.times, up_to(500));
}

TEST(Flow, AFullQueueHoldsItsWriterBack) {
  Chain chain;
  std::atomic<int> ahead = 0, most = 0;
  chain.source({.frames = 100, .change = [&](int, Frame&) { most = std::max<int>(most, ++ahead); }});
  chain.element("queue", {{"max-size-buffers", "3"}});
  chain.inplace("slow", [&](Frame&) {
    std::this_thread::yield();
    --ahead;
    return Verdict::pass;
  });
  EXPECT_EQ(text_of(chain.run()), "");
  EXPECT_LE(most, 3 + 2);  // one on each side of the queue
}

TEST(Flow, TheEndPassesTeeAndJoinWhenAllBranchesAreDone) {
  Chain chain;
  chain.source({.frames = 50});
  const auto tee = chain.element("tee", {}, "t");
  const auto join = chain.element("meta_aggregate", {}, "m");
  for (const char* name : {"one", "two"}) {
    chain.from(tee);
    chain.element("queue", {{"max-size-buffers", "2"}});
    chain.inplace(name, adds_number(name));
    ASSERT_TRUE(chain.flow.link(chain.last, join));
  }
  std::vector<std::string> found;
  chain.flow.on_frame([&](const Frame& frame) -> Status {
    std::string text = std::to_string(frame.pts) + ":";
    for (const auto& item : frame.attributes->items())
      text += std::format(" {} {}", item.name.view(), item.number);
    found.push_back(text);
    return {};
  });
  EXPECT_EQ(text_of(chain.flow.run()), "");
  ASSERT_EQ(found.size(), 50u);
  for (int n = 0; n < 50; ++n) EXPECT_EQ(found[size_t(n)], std::format("{}: one {} two {}", n, n, n));
}

TEST(Flow, AJoinNeedsNoQueues) {
  auto flow = Flow::parse(
      "frame_source name=in ! tee name=t  t. ! m.  t. ! rate_adjust ratio=1/2 ! "
      "meta_aggregate name=m ! frame_sink name=out");
  ASSERT_TRUE(flow) << flow.error().to_string();
  ASSERT_TRUE(flow->start());
  for (int n = 0; n < 4; ++n) ASSERT_TRUE(flow->push("in", small_frame(n)));
  ASSERT_TRUE(flow->end("in"));
  for (int n = 0; n < 4; ++n) {
    auto frame = flow->pull("out");
    ASSERT_TRUE(frame && *frame);
    EXPECT_EQ((*frame)->pts, n);
  }
  auto end = flow->pull("out");
  ASSERT_TRUE(end);
  EXPECT_FALSE(*end);
  EXPECT_EQ(text_of(flow->wait()), "");
}

TEST(Flow, ABranchThatKeepsItsResultsIsAnErrorAndNoStandstill) {
  Chain chain;
  chain.source({.frames = 1000});
  const auto tee = chain.element("tee");
  const auto join = chain.element("meta_aggregate");
  chain.from(tee);
  chain.inplace("swallows", [](Frame&) { return Verdict::drop; });
  ASSERT_TRUE(chain.flow.link(chain.last, join));
  EXPECT_THAT(text_of(chain.run()), HasSubstr("meta_aggregate0: 64 frames wait for results"));
}

TEST(Flow, GapsReachTheElementsBehindAndCloseFramesInJoins) {
  Chain chain;
  chain.source({.frames = 4});
  const auto tee = chain.element("tee");
  chain.element("meta_aggregate", {}, "m");
  chain.from(tee);
  chain.element("queue");
  chain.inplace("odd", [](Frame& frame) { return frame.pts % 2 ? Verdict::gap : Verdict::pass; });
  auto* behind = chain.inplace("behind", adds_number("n"));
  ASSERT_TRUE(chain.flow.link(chain.last, *chain.flow.node("m")));
  std::vector<bool> has_result;
  chain.flow.on_frame([&](const Frame& frame) -> Status {
    has_result.push_back(bool(frame.attributes));
    return {};
  });
  EXPECT_EQ(text_of(chain.flow.run()), "");
  EXPECT_THAT(behind->gaps, ElementsAre(1, 3));
  EXPECT_THAT(has_result, ElementsAre(true, false, true, false));
}

TEST(Flow, AnErrorNamesTheElementWhereverItHappens) {
  const auto failing = [](Frame& frame) -> Result<Verdict> {
    if (frame.pts == 1) return fail(ErrorCode::corrupt, "does not like frame {}", frame.pts);
    return Verdict::pass;
  };
  {
    Chain chain;
    chain.source({.frames = 9, .error_at = 2});
    EXPECT_EQ(text_of(chain.run()), "source: the cable is gone");
  }
  {
    Chain chain;
    chain.source();
    chain.inplace("a");
    chain.inplace("picky", failing);
    chain.inplace("b");
    EXPECT_EQ(text_of(chain.run()), "picky: does not like frame 1");
  }
  {  // in another thread than the source, which is still pushing
    Chain chain;
    chain.source({.frames = 1000000});
    chain.element("queue");
    chain.inplace("picky", failing);
    chain.element("queue");
    EXPECT_EQ(text_of(chain.run()), "picky: does not like frame 1");
  }
  {  // at the end
    Chain chain;
    chain.source();
    chain.inplace("full")->drain_status = fail(ErrorCode::io, "disk full");
    EXPECT_EQ(text_of(chain.run()), "full: disk full");
  }
  {  // in the program's own callback
    Chain chain;
    chain.source();
    chain.inplace("last");
    chain.flow.on_frame([](const Frame&) -> Status { return fail(ErrorCode::io, "mine"); });
    EXPECT_EQ(text_of(chain.flow.run()), "last: mine");
  }
  {  // when it is made
    auto flow = Flow::parse("frame_source ! onnx_tensor_inference name=net model=/nowhere.onnx");
    ASSERT_TRUE(flow);
    EXPECT_THAT(text_of(flow->start()), HasSubstr("net: "));
    EXPECT_FALSE(flow->running());
  }
}

TEST(Flow, WhoeverPushesOrPullsIsToldOfTheError) {
  Chain chain;
  chain.element("frame_source", {}, "in");
  chain.inplace("picky", [](Frame&) -> Result<Verdict> { return fail(ErrorCode::corrupt, "no"); });
  chain.element("frame_sink", {}, "out");
  ASSERT_TRUE(chain.flow.start());
  ASSERT_TRUE(chain.flow.push("in", small_frame(0)));
  const auto frame = chain.flow.pull("out");
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().to_string(), "picky: no");
  EXPECT_EQ(text_of(chain.flow.wait()), "picky: no");
  EXPECT_EQ(text_of(chain.flow.push("in", small_frame(1))), "picky: no");
}

TEST(Flow, TwoSourcesMeetInOneElementAndKeepTheirNames) {
  Chain chain;
  const auto meeting = chain.element("funnel");
  for (const char* name : {"left", "right"}) {
    chain.from(std::nullopt);
    chain.add<CountingSource>(name, ElementKind::source, CountingSource::Options{.frames = 200});
    ASSERT_TRUE(chain.flow.link(chain.last, meeting));
  }
  chain.from(meeting);
  chain.inplace("counts", adds_number("n"));
  std::map<uint64_t, std::vector<Time>> seen;
  chain.flow.on_frame([&](const Frame& frame) -> Status {
    seen[frame.source->stream].push_back(frame.pts);
    return {};
  });
  EXPECT_EQ(text_of(chain.flow.run()), "");
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[1], up_to(200));
  EXPECT_EQ(seen[2], up_to(200));
}

TEST(Flow, ResultsOfSeveralStreamsFindTheirOwnFrames) {
  Chain chain;
  chain.source({.frames = 60, .change = [](int n, Frame& frame) {
                  frame.pts = n / 3;  // the same times in all streams
                  frame.source = SourceId{.stream = uint64_t(n % 3) + 7, .pts = frame.pts};
                }});
  const auto tee = chain.element("tee");
  const auto join = chain.element("meta_aggregate");
  chain.from(tee);
  chain.element("queue");
  chain.inplace("stamps", [](Frame& frame) {
    frame.attributes = with(nullptr, {.name = Label("stream"), .number = double(frame.source->stream)});
    return Verdict::pass;
  });
  ASSERT_TRUE(chain.flow.link(chain.last, join));
  int frames = 0;
  chain.flow.on_frame([&](const Frame& frame) -> Status {
    ++frames;
    EXPECT_EQ(frame.attributes->find("stream")->number, double(frame.source->stream));
    return {};
  });
  EXPECT_EQ(text_of(chain.flow.run()), "");
  EXPECT_EQ(frames, 60);
}

// Elements of the registry keep the state of one stream: rate_adjust counts each by itself.
TEST(Flow, EachStreamHasItsOwnInstanceOfAnElement) {
  Chain chain;
  chain.source({.frames = 12, .change = [](int n, Frame& frame) {
                  frame.source = SourceId{.stream = uint64_t(n % 2) + 1, .pts = frame.pts};
                }});
  chain.element("rate_adjust", {{"ratio", "1/2"}});
  EXPECT_EQ(text_of(chain.run()), "");
  EXPECT_THAT(chain.times, ElementsAre(0, 1, 4, 5, 8, 9));
}

TEST(Flow, AChangeOfFormatReachesEachElementBeforeItsFirstFrame) {
  Chain chain;
  VideoInfo large = small_video;
  large.width = 32;
  chain.source({.frames = 6, .change = [&](int n, Frame& frame) {
                  if (n >= 3) {
                    frame.tensors = allocate_frame(large)->tensors;
                    frame.video = large;
                  }
                }});
  chain.element("queue");
  Inplace* element = nullptr;
  element = chain.inplace("sees", [&](Frame& frame) {
    EXPECT_EQ(element->formats.back().video()->width, frame.video->width);
    return Verdict::pass;
  });
  EXPECT_EQ(text_of(chain.run()), "");
  EXPECT_EQ(element->formats.back().video()->width, 32);
  EXPECT_EQ(chain.times, up_to(6));
}

TEST(Flow, RegionsGetNumbersAndTeesGiveEachBranchItsOwn) {
  Chain chain;
  chain.source({.frames = 1});
  chain.inplace("finds", [](Frame& frame) {
    frame.regions.resize(2);
    return Verdict::pass;
  });
  const auto tee = chain.element("tee");
  chain.inplace("more", [](Frame& frame) {
    frame.regions.resize(3);
    return Verdict::pass;
  });
  chain.from(tee);
  chain.inplace("looks", [](Frame& frame) {
    EXPECT_EQ(frame.regions.size(), 2u);
    EXPECT_EQ(frame.regions[1].id, 1);
    return Verdict::gap;
  });
  std::vector<int> ids;
  chain.flow.on_frame([&](const Frame& frame) -> Status {
    for (const auto& region : frame.regions) ids.push_back(region.id);
    return {};
  });
  EXPECT_EQ(text_of(chain.flow.run()), "");
  EXPECT_THAT(ids, ElementsAre(0, 1, 2));
}

TEST(Flow, CountsFramesAndTimeOfEachElement) {
  Chain chain;
  chain.source({.frames = 10});
  chain.element("rate_adjust", {{"ratio", "1/2"}}, "half");
  chain.element("queue", {{"max-size-buffers", "5"}}, "q");
  chain.inplace("last");
  EXPECT_EQ(text_of(chain.run()), "");
  std::map<std::string, Flow::NodeStats> stats;
  for (const auto& node : chain.flow.stats()) stats[node.name] = node;
  EXPECT_EQ(stats["source"].frames_out, 10u);
  EXPECT_GT(stats["source"].busy.count(), 0);
  EXPECT_EQ(stats["half"].frames_in, 10u);
  EXPECT_EQ(stats["half"].frames_out, 5u);
  EXPECT_EQ(stats["half"].element, "rate_adjust");
  EXPECT_EQ(stats["q"].queue_size, 5u);
  EXPECT_EQ(stats["q"].queued, 0u);
  EXPECT_EQ(stats["last"].frames_in, 5u);
  EXPECT_EQ(stats["last"].gaps, 5u);
}

TEST(Flow, StopsAfterTheFrameLimit) {
  Chain chain({.frame_limit = 7});
  chain.source({.frames = 1000000});
  auto* last = chain.inplace("last");
  EXPECT_EQ(text_of(chain.run()), "");
  EXPECT_EQ(chain.times.size(), 7u);
  EXPECT_EQ(last->drained, 1);
}

TEST(Flow, LiveParametersReachTheElementBetweenTwoFrames) {
  auto flow = Flow::parse("frame_source name=in ! roi_split name=s ! frame_sink name=out");
  ASSERT_TRUE(flow);
  ASSERT_TRUE(flow->start());
  const auto split = [&](int pts) {
    Frame frame = small_frame(pts);
    for (const char* label : {"cat", "dog"}) {
      Region& region = frame.regions.emplace_back();
      region.box = {0, 0, 1, 1};
      region.label = Label(label);
    }
    ASSERT_TRUE(flow->push("in", frame));
  };
  split(0);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(flow->pull("out"));
  ASSERT_TRUE(flow->set("s", "object-class", "dog"));
  split(1);
  ASSERT_TRUE(flow->end("in"));
  const auto only = flow->pull("out");
  ASSERT_TRUE(only && *only);
  EXPECT_EQ((*only)->regions.at(0).label, Label("dog"));
  EXPECT_FALSE(*flow->pull("out"));
  EXPECT_FALSE(flow->set("s", "min-size", "3"));  // not live
  EXPECT_FALSE(flow->set("nobody", "x", "3"));
  EXPECT_EQ(text_of(flow->wait()), "");
}

TEST(Flow, WhatCannotBeBuiltIsRefusedWithAReason) {
  const auto error = [](std::string_view text) {
    auto flow = Flow::parse(text);
    return flow ? text_of(flow->start()) : flow.error().to_string();
  };
  EXPECT_THAT(error("frame_source ! rate_adjst ratio=1/2"), HasSubstr("did you mean 'rate_adjust'"));
  EXPECT_THAT(error("frame_source ! rate_adjust ration=1/2"), HasSubstr("did you mean 'ratio'"));
  EXPECT_THAT(error("frame_source ! rate_adjust ratio=many"), HasSubstr("rate_adjust: ratio"));
  EXPECT_THAT(error("frame_source ! queue max-size-buffers=0"), HasSubstr("max-size-buffers"));
  EXPECT_THAT(error("frame_source ! videoconvert ! fakesink"), HasSubstr("leave it out"));
  EXPECT_THAT(error("rate_adjust"), HasSubstr("nothing is linked to the input of rate_adjust0"));
  EXPECT_THAT(error("frame_source name=a ! fakesink  a. ! fakesink"), HasSubstr("tee"));
  EXPECT_THAT(error("fakesink name=f  f. ! rate_adjust"), HasSubstr("f is a sink"));
  EXPECT_THAT(error("rate_adjust ! frame_source"), HasSubstr("frame_source0 is a source"));
  EXPECT_THAT(error("tee name=a ! rate_adjust name=b  b. ! a."), HasSubstr("circle"));
  EXPECT_THAT(error("frame_source ! tee"), HasSubstr("behind tee0"));
  EXPECT_THAT(error("frame_source ! object_detect"), HasSubstr("object_detect0: no model is set"));
  EXPECT_THAT(error("frame_source ! object_detect model=/nowhere.onnx"), HasSubstr("/nowhere.onnx"));
  EXPECT_THAT(text_of(Flow().start()), HasSubstr("empty"));
}

TEST(Flow, RunsOnce) {
  Chain chain;
  chain.source();
  EXPECT_FALSE(chain.flow.wait());
  EXPECT_EQ(text_of(chain.run()), "");
  EXPECT_FALSE(chain.flow.start());
  EXPECT_EQ(text_of(chain.flow.wait()), "");
  EXPECT_FALSE(chain.flow.add("tee"));
  EXPECT_FALSE(chain.flow.push("nobody", {}));
}

}  // namespace
}  // namespace sightglass
