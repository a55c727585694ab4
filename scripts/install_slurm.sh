#!/bin/sh
# Install what tests/slurm needs: Slurm, munge, MariaDB. The tests start their own daemons, in a folder of theirs.
exec sh "$(dirname "$0")/install_packages.sh" \
    munge mariadb-server slurmctld slurmd slurmdbd slurm-client slurm-wlm-mysql-plugin
