from geoloc_models import data


def test_every_public_name_can_be_imported():
    assert sorted(data.__all__) == sorted(data._MODULE_OF_NAME)
    for name in data.__all__:
        assert getattr(data, name) is not None


def test_unknown_names_are_attribute_errors():
    assert not hasattr(data, "no_such_name")
