import time

from headwater import Flow, Parameter, task


@task
def load(day, seconds):
    time.sleep(seconds)
    print(f"{day} is loaded.")
    return day


with Flow("nightly") as flow:
    load(Parameter("day", default="today"), Parameter("seconds", default=0))


if __name__ == "__main__":
    flow.run()
