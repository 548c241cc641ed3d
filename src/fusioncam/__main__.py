"""Run the command line by `python -m fusioncam`."""

from fusioncam.cli.main import main

if __name__ == "__main__":
    main()
