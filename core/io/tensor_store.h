// The tensor store: values keyed by (logical tensor name, state kind), moved by Tile, on a disk as a
// checkpoint.
//
// Why by tile and name: whoever saves knows its rectangles, whoever loads knows its own, and neither knows
// the other's layout. Saved on 8 ranks, resumed on 3, served on 2, without a converter.
//
//   CheckpointWriter   one checkpoint being written by all ranks together; exists entirely or not at all
//   CheckpointReader   one checkpoint, read by any number of ranks, each on its own
//   checkpoints.h      the folder that holds several: newest valid one, pruning, leftovers
#pragma once

#include "core/io/checkpoint_reader.h"
#include "core/io/checkpoint_writer.h"
#include "core/io/checkpoints.h"
