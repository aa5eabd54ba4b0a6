#include "launch/cli/launcher.h"

#include <gtest/gtest.h>

#include <map>

namespace edgetrain {
namespace {

Launcher with(std::map<std::string, std::string> variables) {
  return launcher_from([variables = std::move(variables)](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
}

TEST(Launcher, StartedByHand) {
  const auto launcher = with({});
  EXPECT_FALSE(launcher.rank);
  EXPECT_FALSE(launcher.world_size);
}

TEST(Launcher, OpenMpi) {
  const auto launcher = with({{"OMPI_COMM_WORLD_RANK", "3"},
                              {"OMPI_COMM_WORLD_SIZE", "8"},
                              {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"},
                              {"PMIX_RANK", "3"},
                              {"SLURM_PROCID", "0"}});
  EXPECT_EQ(launcher.rank, 3);
  EXPECT_EQ(launcher.world_size, 8);
  EXPECT_EQ(launcher.ranks_on_node, 4);
}

TEST(Launcher, Slurm) {
  const auto launcher =
      with({{"SLURM_PROCID", "5"}, {"SLURM_STEP_NUM_TASKS", "16"}, {"SLURM_STEP_TASKS_PER_NODE", "8(x2)"}});
  EXPECT_EQ(launcher.rank, 5);
  EXPECT_EQ(launcher.world_size, 16);
  EXPECT_FALSE(launcher.ranks_on_node);  // not one number; MPI says it later
}

TEST(Launcher, ABatchScriptIsNoLauncher) {
  EXPECT_FALSE(with({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "16"}}).rank);
}

TEST(Launcher, PmiAndPmix) {
  EXPECT_EQ(with({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}}).world_size, 2);
  const auto pmix = with({{"PMIX_RANK", "7"}});
  EXPECT_EQ(pmix.rank, 7);
  EXPECT_FALSE(pmix.world_size);
}

TEST(Launcher, NonsenseIsNotARank) {
  EXPECT_FALSE(with({{"PMIX_RANK", "abc"}}).rank);
  EXPECT_FALSE(with({{"PMIX_RANK", "-1"}}).rank);
  EXPECT_FALSE(with({{"OMPI_COMM_WORLD_RANK", ""}, {"OMPI_COMM_WORLD_SIZE", "2"}}).rank);
}

}  // namespace
}  // namespace edgetrain
