#include "session/broker_variable.h"

#include <gtest/gtest.h>
#include <string>

#include "base/rng.h"

namespace uzswap {
namespace {

TEST(BrokerVariable, ComesBackWithoutTheToken) {
  Rng rng(1);
  for (int i = 0; i < 1000; ++i) {
    BrokerAddress address{rng.Next() >> rng.Below(64), {{1, 2}}, {{rng.Next(), rng.Next() >> 40}}};
    const BrokerText text = ToBrokerVariable(address);
    const std::optional<BrokerAddress> read = FromBrokerVariable(text.view());
    ASSERT_TRUE(read.has_value()) << text.c_str();
    EXPECT_EQ(read->name, address.name);
    EXPECT_EQ(read->proof.words[0], address.proof.words[0]);
    EXPECT_EQ(read->proof.words[1], address.proof.words[1]);
    EXPECT_EQ(read->token.words[0], 0u);
    EXPECT_EQ(read->token.words[1], 0u);
  }
}

TEST(BrokerVariable, AnotherFormatIsRefused) {
  const std::string good = "0123456789abcdef:0123456789abcdef0123456789abcdef";
  ASSERT_TRUE(FromBrokerVariable(good).has_value());
  EXPECT_FALSE(FromBrokerVariable("").has_value());
  EXPECT_FALSE(FromBrokerVariable(good + "0").has_value());
  EXPECT_FALSE(FromBrokerVariable(good.substr(1)).has_value());
  for (size_t i = 0; i < good.size(); ++i) {
    for (const char bad : {'\0', ' ', 'g', 'A', '-', '/'}) {
      std::string text = good;
      text[i] = bad;
      EXPECT_FALSE(FromBrokerVariable(text).has_value()) << i << " " << bad;
    }
  }
}

}  // namespace
}  // namespace uzswap
