from headwater import Flow, Parameter, task
from headwater.triggers import all_finished, manual_only


@task
def build(version):
    return f"site-{version}"


@task(trigger=manual_only)
def deploy(site):
    print(f"{site} is live.")
    return site


@task(trigger=all_finished)
def tidy(site):
    print(f"{site} is tidied up.")


with Flow("release") as flow:
    site = build(Parameter("version", default=1))
    deployed = deploy(site)
    tidied = tidy(site, upstream_tasks=[deployed])
    flow.set_reference_tasks([deployed])


if __name__ == "__main__":
    flow.run()
