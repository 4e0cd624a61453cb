"""Every night: eight shards side by side, joined, checked and loaded.

A task that is tried again goes on where it stopped. The machines share /data.
"""

from datetime import datetime, timedelta

from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator

SHARDS = 8
PARTS = " ".join(f"/data/out/shard-{number}.parquet" for number in range(1, SHARDS + 1))

with DAG("catalogue", schedule="15 2 * * *", start_date=datetime(2026, 1, 1), catchup=False):
    merge = BashOperator(
        task_id="merge",
        bash_command=f"fftag merge {PARTS} --out /data/out/tags.parquet --source /data/photos",
    )
    load = BashOperator(
        task_id="load",
        bash_command="fftag load /data/out/tags.parquet --db /data/out/catalog.duckdb",
    )
    for number in range(1, SHARDS + 1):
        tag = BashOperator(
            task_id=f"tag_{number}",
            bash_command=(
                f"fftag tag /data/photos --shard {number}/{SHARDS} --model /data/models/best "
                f"--out /data/out/shard-{number}.parquet --json"
            ),
            retries=3,
            retry_delay=timedelta(minutes=5),
            max_active_tis_per_dag=1,
        )
        tag >> merge
    merge >> load
