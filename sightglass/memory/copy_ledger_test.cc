#include "sightglass/memory/copy_ledger.h"

#include <gmock/gmock.h>

#include <thread>

namespace sightglass {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(CopyLedger, CountsCopiesAndSharesPerHop) {
  CopyLedger ledger;
  EXPECT_THAT(ledger.snapshot(), IsEmpty());
  CopyLedger::Hop& gather = ledger.hop("gather");
  CopyLedger::Hop& convert = ledger.hop("convert");
  gather.copied(100);
  gather.copied(20);
  convert.shared(7);
  EXPECT_THAT(ledger.snapshot(), ElementsAre(CopyLedger::Entry{"gather", 2, 120, 0, 0},  //
                                             CopyLedger::Entry{"convert", 0, 0, 1, 7}));
  EXPECT_EQ(ledger.total(), (CopyLedger::Entry{"total", 2, 120, 1, 7}));
}

TEST(CopyLedger, FindsAHopByItsName) {
  CopyLedger ledger;
  CopyLedger::Hop& first = ledger.hop("a");
  for (int i = 0; i < 100; ++i) ledger.hop(std::to_string(i));
  EXPECT_EQ(&ledger.hop("a"), &first);
  EXPECT_EQ(first.name(), "a");
}

TEST(CopyLedger, KeepsItsHopsWhenReset) {
  CopyLedger ledger;
  CopyLedger::Hop& hop = ledger.hop("a");
  hop.copied(5);
  ledger.reset();
  hop.shared(3);
  EXPECT_THAT(ledger.snapshot(), ElementsAre(CopyLedger::Entry{"a", 0, 0, 1, 3}));
}

TEST(CopyLedger, LosesNothingBetweenThreads) {
  CopyLedger ledger;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&ledger] {
        CopyLedger::Hop& hop = ledger.hop("shared by all");
        for (int n = 0; n < 1000; ++n) hop.copied(2);
        (void)ledger.snapshot();
      });
  }
  EXPECT_EQ(ledger.total(), (CopyLedger::Entry{"total", 4000, 8000, 0, 0}));
}

}  // namespace
}  // namespace sightglass
