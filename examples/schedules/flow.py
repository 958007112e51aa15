from headwater import Flow, Parameter, context, task


@task
def report(region):
    # The time that this run is for; runs that nobody has scheduled have none.
    meant = context.get("scheduled_start_time")
    print(f"The figures of {region}{f' for {meant:%Y-%m-%d %H:%M}' if meant else ''}.")
    return region


with Flow("figures") as flow:
    report(Parameter("region", default="all regions"))


if __name__ == "__main__":
    flow.run()
