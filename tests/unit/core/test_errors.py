from leadline.core import errors


def test_every_error_belongs_to_exactly_one_exit_code_and_retry_class() -> None:
    kinds = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.DeviceError)]
    leaves = [k for k in kinds if not k.__subclasses__()]
    assert len(leaves) >= 11
    for kind in leaves:
        assert issubclass(kind, errors.TransientError) != issubclass(kind, errors.StableError)
        assert kind.exit_code == 4


def test_the_tree_in_the_docstring_names_every_error() -> None:
    assert errors.__doc__ is not None
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.LeadlineError):
            assert name in errors.__doc__
