from headwater import Flow, Parameter, task, unmapped
from headwater.tasks.headwater import create_flow_run, wait_for_flow_run


@task
def count(airport):
    print(f"{airport} has {len(airport)} letters.")


@task
def split(airports):
    return [{"airport": airport} for airport in airports]


@task
def tell(runs):
    print(f"{len(runs)} runs have ended.")


with Flow("landings") as landings:
    count(Parameter("airport"))

with Flow("all-airports") as flow:
    airports = Parameter("airports", default=["Zurich", "Geneva"])
    runs = create_flow_run.map(flow_name=unmapped("landings"), parameters=split(airports))
    tell(wait_for_flow_run.map(runs, raise_final_state=unmapped(True)))


if __name__ == "__main__":
    flow.run()
