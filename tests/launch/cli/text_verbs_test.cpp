#include "launch/cli/text_verbs.h"

#include <gtest/gtest.h>

#include <sstream>

#include "core/base/error.h"
#include "launch/job/write.h"
#include "tests/launch/job/job_fixture.h"

namespace edgetrain {
namespace {

std::string output(const std::vector<std::string>& arguments) {
  std::ostringstream out;
  run_text_verb(parse_command_line(arguments), std::vector<std::string>{"cpu: oneDNN"}, out);
  return out.str();
}

std::string refusal(const std::vector<std::string>& arguments) {
  try {
    return output(arguments) + " was accepted";
  } catch (const JobError& error) {
    return error.what();
  }
}

TEST(TextVerbs, HelpNamesEveryVerbSectionAndExitCode) {
  const auto text = output({"--help"});
  for (const auto& verb : verbs()) {
    EXPECT_EQ(testing::contains(text, fmt::format("\n  {} ", verb.name)), !verb.is_hidden) << verb.name;
  }
  for (const auto* part : {"\n  0 ", "\n  1 ", "\n  2 ", "\n  75 ", "\n  optimizer ", "~section.key"})
    EXPECT_CONTAINS(text, part);
}

TEST(TextVerbs, Version) { EXPECT_EQ(output({"--version"}), "edgetrain 0.1.0\n  cpu: oneDNN\n"); }

TEST(TextVerbs, Explain) {
  EXPECT_CONTAINS(output({"explain", "optimizer.lr"}), "Highest learning rate");
  EXPECT_CONTAINS(output({"explain"}), "lr_scheduler:\n");
  EXPECT_EQ(refusal({"explain", "optimizer.lrr"}),
            "there is no key 'optimizer.lrr'\n  did you mean 'optimizer.lr'?");
  EXPECT_EQ(refusal({"explain", "learning_rate"}),
            "there is no key 'learning_rate'\n  'learning_rate' is called 'optimizer.lr' here");
}

TEST(TextVerbs, InitNeverOverwrites) {
  const testing::Folder folder;
  const auto path = folder.at("new.yaml");
  EXPECT_CONTAINS(output({"init", path}), "wrote ");
  EXPECT_TRUE(parse_job_file(path).problems.empty());
  EXPECT_CONTAINS(refusal({"init", path}), "exists already");
  EXPECT_CONTAINS(refusal({"init", folder.at("none/x.yaml")}), "No such file or directory");
  EXPECT_EQ(output({"init", "-"}), write_starter_yaml());
}

TEST(TextVerbs, DocsAndSchema) {
  EXPECT_CONTAINS(output({"docs"}), "# The job\n");
  EXPECT_CONTAINS(output({"schema"}), "json-schema.org");
}

TEST(TextVerbs, TheOthersAreNone) {
  EXPECT_FALSE(is_text_verb(CommandVerb::run));
  EXPECT_TRUE(is_text_verb(CommandVerb::explain));
  std::ostringstream out;
  CommandLine command;
  command.verb = CommandVerb::run;
  EXPECT_THROW(run_text_verb(command, {}, out), Error);
}

}  // namespace
}  // namespace edgetrain
