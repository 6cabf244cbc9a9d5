"""A Celery application whose broker and results are behind the gateway: what it is
told comes from the environment, as its workers are started without arguments of ours."""

import os

from celery import Celery

where = os.environ["GATEWAY"]
options = os.environ["GATEWAY_TLS"]
app = Celery(
    "programs",
    broker=f"rediss://{where}/0?{options}",
    backend=f"rediss://{where}/1?{options}",
)
app.conf.update(
    broker_connection_retry_on_startup=True,
    result_expires=300,
    task_acks_late=True,
    worker_prefetch_multiplier=2,
    task_send_sent_event=True,
    worker_send_task_events=True,
)


@app.task
def add(x, y):
    return x + y


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def fails():
    raise ValueError("as asked")


@app.task(bind=True, max_retries=3)
def third_time(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.2)
    return self.request.retries


@app.task(bind=True)
def tells(self):
    self.update_state(state="HALFWAY", meta={"done": 50})
    return "x" * (2 << 20)
