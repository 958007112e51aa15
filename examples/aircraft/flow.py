import aircraftlib as aclib

from headwater import Flow, Parameter, task


@task
def extract_reference_data():
    return aclib.fetch_reference_data()


@task
def extract_live_data(airport, radius, reference_data):
    area = reference_data.area_around(airport, radius)
    return aclib.fetch_live_aircraft_data(area)


@task
def transform(live_data, reference_data):
    vectors = filter(None, map(aclib.clean_vector, live_data))
    return [aclib.add_airline_info(vector, reference_data.airlines) for vector in vectors]


@task
def load_reference_data(reference_data):
    return aclib.Database().update_reference_data(reference_data)


@task
def load_live_data(live_data):
    return aclib.Database().add_live_aircraft_data(live_data)


with Flow("etl") as flow:
    airport = Parameter("airport", default="CDG")
    radius = Parameter("radius", default=200)
    reference_data = extract_reference_data()
    live_data = extract_live_data(airport, radius, reference_data)
    transformed_live_data = transform(live_data, reference_data)
    load_reference_data(reference_data)
    load_live_data(transformed_live_data)


if __name__ == "__main__":
    flow.run()
