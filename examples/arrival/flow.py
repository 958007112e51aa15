from headwater import Flow, Parameter, task


@task
def read(file):
    return [line.upper() for line in (f"{file}, line 1", f"{file}, line 2")]


@task
def load(rows):
    print(f"{len(rows)} rows are loaded: {rows}")
    return len(rows)


with Flow("arrival") as flow:
    load(read(Parameter("file", required=True)))


if __name__ == "__main__":
    flow.run(file="orders.csv")
