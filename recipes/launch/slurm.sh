#!/usr/bin/env bash
# Fine-tune on several nodes under Slurm:   sbatch --nodes 2 --gpus-per-node 8 recipes/launch/slurm.sh [FLAGS OF finetune.py]
# If the time limit ends it, submit it again with the same flags: it goes on from its last checkpoint.
#SBATCH --job-name=chestxray
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --requeue
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-$PWD}"
gpus=${SLURM_GPUS_ON_NODE:-8}
read -r main < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
# each node expands the quoted part itself, because only the node knows its number
srun bash -c "accelerate launch --multi_gpu --mixed_precision ${MIXED_PRECISION:-bf16} --dynamo_backend no \
    --num_machines $SLURM_NNODES --num_processes $((SLURM_NNODES * gpus)) --machine_rank \$SLURM_NODEID \
    --main_process_ip $main --main_process_port ${MAIN_PORT:-29500} recipes/finetune.py \"\$@\"" finetune "$@"
